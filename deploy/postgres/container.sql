-- The first start of Postgres in a container: roles with the passwords of its environment, the database, the rights.
\set ON_ERROR_STOP on
\getenv panda POSTGRES_PANDA_PASSWORD
\getenv paper POSTGRES_PAPER_PASSWORD
\getenv zerodha POSTGRES_ZERODHA_PASSWORD
\getenv debezium POSTGRES_DEBEZIUM_PASSWORD
\getenv lease POSTGRES_LEASE_PASSWORD
set log_min_error_statement = panic;
create role panda login password :'panda';
create role paper login password :'paper';
create role zerodha login password :'zerodha';
create role debezium login replication password :'debezium';
create role lease login password :'lease';
create database panda owner panda;
\connect panda
\getenv rights PANDA_RIGHTS
\i :rights
