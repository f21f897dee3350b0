-- Who may do what in the database `panda`, run as its super user; doing it again changes nothing.
-- Tables are what migrations make, as the role `panda`; a broker's role writes in the schema of its name and nowhere else,
-- and `lease` has a connection and no more: a shard's lease is a lock that ends with it.
revoke all on database panda from public;
revoke all on schema public from public;
grant connect on database panda to paper, zerodha, debezium, lease;
grant usage on schema public to debezium;
create schema if not exists paper authorization panda;
create schema if not exists zerodha authorization panda;
grant usage on schema paper to paper;
grant usage on schema zerodha to zerodha;
alter default privileges for role panda in schema paper grant select, insert, update on tables to paper;
alter default privileges for role panda in schema zerodha grant select, insert, update on tables to zerodha;
