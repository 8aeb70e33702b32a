# The tools come with the project: uv run just check

[private]
default:
    @uv run just --list --unsorted

# Everything that CI checks
check: format-check lint types imports containers test

# Rewrite the code in the project's format
fmt:
    uv run ruff check --fix --quiet --exit-zero .
    uv run ruff format .

# Is the code in the project's format?
format-check:
    uv run ruff format --check .

# Style, likely mistakes, docstrings, functions that grew too long
lint:
    uv run ruff check .

# Pyright: strict on dataflow, basic on the rest
types:
    uv run pyright

# Who may import whom
imports:
    uv run lint-imports

# Dockerfile, compose file and workflows
containers:
    uv run hadolint docker/Dockerfile
    uv run check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml
    uv run check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/ci.yml

# Tests, docstring examples and README blocks; arguments go to pytest
test *arguments:
    uv run pytest {{ arguments }}

# Tests with coverage of dataflow (90 %, gates and incremental detection 100 %) and an HTML report
coverage:
    uv run pytest --cov --cov-report=html
    uv run just coverage-gates

[private]
coverage-gates:
    uv run coverage report --include="dataflow/quality/*,dataflow/incremental/*" --fail-under=100

# Scaffold a flow: just new-flow orders, or in a domain: just new-flow shop/orders
new-flow name:
    uv run python templates/new_flow.py {{ quote(name) }}

# Scaffold a flow in a copy of the project, check it, test it, run it
try-template:
    .ci/try-template

# Prefect's server and user interface on http://127.0.0.1:4200
server:
    uv run prefect server start --host 127.0.0.1

# Remove what tools left behind; lakes stay
clean:
    rm -rf .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov dist
