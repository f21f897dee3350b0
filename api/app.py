"""The application: routes, errors as RFC 9457 problems, headers. It only reads."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import redis
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from analytics.queries import Queries
from api.desk import Desk
from api.flows import flows
from api.models import Problem
from api.routes import Ends, Sources, process, v1
from connectors.errors import DependencyError, PipelineError, RetryableError
from connectors.logging import logger
from connectors.settings import Settings

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def create_app(settings: Settings, client: "redis.Redis", queries: Queries, ends: Ends | None = None) -> FastAPI:
    """The application over a Redis client (text answers), a lake and, for lags, the ends of the caches' topics."""
    app = FastAPI(
        title="Alpha Panda", version="1", docs_url=None, redoc_url=None, generate_unique_id_function=_operation,
        summary="What the desk's accounts have done. Money is text in rupees, times are UTC.",
    )  # fmt: skip
    app.state.sources = Sources(
        {broker: Desk(client, broker) for broker in settings.active_brokers}, queries, client.ping, ends, flows
    )
    app.include_router(process)
    app.include_router(v1)
    _answer_problems(app)
    app.middleware("http")(_with_headers)
    # A page elsewhere may name this address by a name of its own: only our own names are answered.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK, "[::1]"], www_redirect=False)
    return app


def _operation(route: APIRoute) -> str:
    return route.name


async def _with_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers.update(_HEADERS)
    return response


# --- problems ---------------------------------------------------------------------------------------------------------


def _problem(request: Request, status: int, detail: str, errors: list[dict[str, str]] | None = None) -> JSONResponse:
    problem = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, instance=request.url.path, errors=errors
    )
    return JSONResponse(problem.model_dump(exclude_none=True), status, media_type="application/problem+json")


def _answer_problems(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> JSONResponse:
        answer = _problem(request, error.status_code, str(error.detail))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [{"where": ".".join(map(str, fault["loc"])), "what": str(fault["msg"])} for fault in error.errors()]
        return _problem(request, 422, "a parameter is wrong", faults)

    @app.exception_handler(redis.RedisError)
    def no_redis(request: Request, error: redis.RedisError) -> JSONResponse:
        logger().warning("api.redis_unavailable", path=request.url.path, error=str(error))
        return _problem(request, 503, "Redis does not answer")

    @app.exception_handler(PipelineError)
    def failed(request: Request, error: PipelineError) -> JSONResponse:
        if not isinstance(error, RetryableError):  # what is away has been told, once
            logger().error("api.failed", path=request.url.path, error=error.message)
        return _problem(request, 503 if isinstance(error, DependencyError) else 500, error.message)

    @app.exception_handler(Exception)
    def broken(request: Request, error: Exception) -> Any:
        logger().error("api.broken", path=request.url.path, exc_info=error)
        return _problem(request, 500, "an error of ours; the log has it")
