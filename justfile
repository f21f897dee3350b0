set shell := ["bash", "-euo", "pipefail", "-c"]

export UV_PYTHON_DOWNLOADS := "never"
export OPENBLAS_NUM_THREADS := "1"
python := ".venv/bin/python"
workers := env("TEST_WORKERS", "3") # processes that test: one more than cores, as tests of services mostly wait
pytest := python + " -m pytest -q --dist loadfile --no-loadscope-reorder"
quick := "not kafka and not redis and not e2e and not platform"

# list the recipes
default:
    @just --list --unsorted

# environment from the hashed requirement files, bytecode and engine compiled ahead
setup: _environment
    @{{python}} -m compileall -q -j 0 analytics api cli connectors dataflows deploy functions strategies
    @.venv/bin/panda compile

_environment:
    @test -x {{python}} || uv venv -q --python ">=3.11,<3.13" .venv
    @compile=; test .venv/.compiled -nt requirements/dev.txt || compile=--compile-bytecode; \
        uv pip sync -q $compile --python {{python}} --require-hashes requirements/dev.txt; touch .venv/.compiled
    @uv pip install -q --python {{python}} --no-deps -e .

# the whole pipeline on a simulated market day; Ctrl-C stops cleanly
demo *arguments: setup
    @if test -t 0; then set -m; fi; .venv/bin/panda demo {{arguments}}; exit # a job of its own: just takes any Ctrl-C for a failure

# all tests: on embedded parts and on the real services side by side, then the decisions in plain Python
test *arguments: setup check
    @.venv/bin/panda services fetch
    {{pytest}} -n {{workers}} {{arguments}}
    @just test-plain

# the inner loop: single functions and whole flows in this process, without a service; two minutes
test-quick *arguments: setup
    {{pytest}} -n 2 -m "{{quick}}" tests/unit tests/flow tests/contract functions strategies {{arguments}}

# tests that need nothing but Python: compiled, then the decisions with the compiler off and their coverage measured
test-embedded *arguments: setup check
    {{pytest}} -n {{workers}} -m "not platform" {{arguments}}
    @just test-plain

# tests on real Kafka, Connect, Postgres and Redis, started for them (.ci/services installs what they need)
test-platform *arguments: setup
    @.venv/bin/panda services fetch
    {{pytest}} -n 2 -m platform tests {{arguments}}

# unit tests of the decisions in plain Python, branch coverage of functions/ at least 95 %
test-plain:
    NUMBA_DISABLE_JIT=1 {{pytest}} -n 2 -m "not compiled" tests/unit tests/flow functions strategies \
        --ignore=tests/unit/test_benchmarks.py \
        --cov=functions --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=95

# any bytes into everything that reads bytes of others, so many seconds for all together; `--target NAME` for one
fuzz *arguments: setup
    {{python}} -m tests.fuzz {{arguments}}

# strategies that do what they should not, at random, beside two that behave (--count 1000 --place backtest|demo|flow --seed N)
fuzz-strategies *arguments: setup
    {{python}} -m tests.nasty {{arguments}}

# what a night has time for: properties and spoilt bytes many times over, 200 kills on each ground, nasty strategies, mutants
test-nightly: setup
    @.venv/bin/panda services fetch
    TEST_TIMES=20 {{pytest}} -n 2 --timeout=7200 tests/property tests/fuzz
    {{python}} -m tests.fuzz --seconds 1800
    for place in backtest demo flow; do {{python}} -m tests.nasty --count 1000 --place $place --seed $RANDOM; done
    for ground in embedded platform; do {{python}} -m tests.chaos --seed $RANDOM --kills 200 --ground $ground; done
    {{python}} -m tests.mutation --target views
    {{python}} -m tests.mutation --target functions

# lint, types, import contracts, requirement files, generated documents
check:
    .venv/bin/ruff check .
    .venv/bin/ruff format --check .
    .venv/bin/pyrefly check --summarize-errors
    .venv/bin/lint-imports --no-cache
    {{python}} -m deploy.contracts check

# platform services up: in containers where a container engine answers, else as processes of this machine
up: setup
    @if docker compose version > /dev/null 2>&1 && docker info > /dev/null 2>&1; then \
        .venv/bin/panda services env --compose && \
        docker compose --env-file .services/compose.env up -d --wait kafka postgres redis connect; \
    else .venv/bin/panda services up; fi

# flows and platform services down; their data stays
down: _environment
    @.venv/bin/panda deploy down
    @.venv/bin/panda services down
    @if docker compose version > /dev/null 2>&1 && docker info > /dev/null 2>&1 && test -e .services/compose.env; then \
        docker compose --env-file .services/compose.env down; fi

# schema, topics, users, rights, connectors and flows as declared; a second time changes nothing
deploy *arguments: _environment
    @.venv/bin/panda deploy apply {{arguments}}

# kill workers that trade, in every way and at every step, and judge the log (--seed N --kills 200 --ground embedded|platform)
chaos *arguments: setup
    {{python}} -m tests.chaos {{arguments}}

# figures of the closing notes; NAME is a file in benchmarks/
bench name="engine" *arguments:
    {{python}} -m benchmarks.{{name}} {{arguments}}

# pin anew what pyproject.toml asks for, without registry addresses
lock:
    uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
        --no-emit-index-url pyproject.toml -o requirements/core.txt
    uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
        --no-emit-index-url --group dev pyproject.toml -o requirements/dev.txt

# write the generated documents: AsyncAPI and JSON Schemas
documents:
    {{python}} -m deploy.contracts write
