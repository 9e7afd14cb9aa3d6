//! All routes, and the OpenAPI document that describes them.

use std::sync::LazyLock;

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderValue, header, request::Parts},
    middleware,
    response::{IntoResponse, Response},
    routing::{any, delete, get, post},
};
use livecode_protocol::{ErrorCode, session::Problem};
use utoipa::{
    Modify, OpenApi,
    openapi::{ContentBuilder, Ref, ResponseBuilder},
};

use crate::http::{
    api::{
        assets, embed, exercises, files, health, info, metrics, quota, session_list, sessions, shares,
        stream, tickets, tokens, users, v01,
    },
    app::App,
    body,
    caller::{self, LIVENESS_PATH, METRICS_PATH},
    guest_cookie, origins, problem,
};

/// The OpenAPI document of the whole interface.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "LiveCode",
        description = "Runs programs in sandboxes and streams their output. A session belongs to its program, not to a \
                       connection: a client that reconnects misses nothing.",
        license(name = "MIT", identifier = "MIT")
    ),
    paths(
        assets::front_page, embed::embed, health::healthz, health::livez, info::runtimes, info::reload, info::check, openapi, metrics::metrics, assets::asset,
        sessions::create, session_list::list, sessions::show, sessions::delete,
        quota::show, shares::create, shares::list, shares::revoke, shares::redeem,
        exercises::list, exercises::put, exercises::show, exercises::delete, files::list, files::download, stream::stream, tickets::create, tokens::list, tokens::create, tokens::revoke, tokens::rotate, users::purge, v01::livecode::livecode, v01::exec::exec, v01::runtimes::run,
    ),
    components(schemas(Problem)),
    modifiers(&CredentialResponses),
    tags(
        (name = "sessions", description = "Programs that run or have run (protocol v0.2)"),
        (name = "v0.1", description = "The endpoints of protocol v0.1, unchanged for their users"),
        (name = "exercises", description = "What teachers keep on the server for the programs of pupils"),
        (name = "tokens", description = "The users' tokens; for admins of a server that asks for tokens"),
        (name = "server", description = "The server itself"),
    )
)]
struct ApiDocument;

/// Paths that every caller may use, where the server asks for tokens.
const PUBLIC_PATHS: [&str; 8] =
    ["/", "/embed", "/healthz", LIVENESS_PATH, "/openapi.json", METRICS_PATH, REDEEM_PATH, "/static/{file}"];

/// Every caller that has the secret of a share may use it.
const REDEEM_PATH: &str = "/shares/redeem";

/// Adds to the document what `caller::require_caller` answers on every route that is not public.
struct CredentialResponses;

impl Modify for CredentialResponses {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let response = |description: &str| {
            let problem = Ref::from_schema_name("Problem");
            let content = ContentBuilder::new().schema(Some(problem)).build();
            ResponseBuilder::new()
                .description(description)
                .content("application/problem+json", content)
                .build()
        };
        let unauthorized =
            response("The server asks for a token, and the request has none, or none that is valid");
        let too_many = response("Too many wrong tokens or ids came from this caller");
        let paths = document.paths.paths.iter_mut();
        for (_, item) in paths.filter(|(path, _)| !PUBLIC_PATHS.contains(&path.as_str())) {
            for operation in
                [&mut item.get, &mut item.post, &mut item.put, &mut item.delete].into_iter().flatten()
            {
                let responses = &mut operation.responses.responses;
                responses.insert("401".to_owned(), unauthorized.clone().into());
                responses.entry("429".to_owned()).or_insert_with(|| too_many.clone().into());
            }
        }
    }
}

/// Answers the OpenAPI document of this server.
#[utoipa::path(
    get, path = "/openapi.json", tag = "server",
    responses(
        (status = 200, description = "The document, in OpenAPI 3.1", body = Object, content_type = "application/json"),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn openapi() -> impl IntoResponse {
    static DOCUMENT: LazyLock<String> =
        LazyLock::new(|| ApiDocument::openapi().to_json().unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}

/// Builds the router with all routes and layers.
pub(crate) fn router(app: App) -> Router {
    let is_of_frame = {
        let app = app.clone();
        move |request: &Parts| caller::is_of_frame(&app, &request.extensions, &request.uri, &request.headers)
    };
    let cors = origins::layer(&app.config.cors_origins, is_of_frame);
    let set_guest_cookie = || middleware::from_fn_with_state(app.clone(), guest_cookie::set);
    let for_known_callers = Router::new()
        .route("/runtimes", get(info::runtimes))
        .route("/runtimes/{runtime}", post(v01::runtimes::run))
        .route("/catalogue/reload", post(info::reload))
        .route("/catalogue/check", post(info::check))
        .route("/exec", post(v01::exec::exec))
        .route("/livecode", get(v01::livecode::livecode))
        .route(
            "/sessions",
            get(session_list::list)
                .layer(middleware::from_fn_with_state(app.clone(), body::charge_answer))
                .post(sessions::create),
        )
        .route("/sessions/{id}", get(sessions::show).delete(sessions::delete))
        .route(
            "/sessions/{id}/files",
            get(files::list).layer(middleware::from_fn_with_state(app.clone(), body::charge_answer)),
        )
        .route("/sessions/{id}/files/{*name}", get(files::download))
        .route("/sessions/{id}/stream", get(stream::stream))
        .route("/exercises", get(exercises::list))
        .route(
            "/exercises/{id}",
            get(exercises::show)
                .layer(middleware::from_fn_with_state(app.clone(), body::charge_answer))
                .put(exercises::put)
                .delete(exercises::delete),
        )
        .route("/quota", get(quota::show))
        .route("/sessions/{id}/shares", get(shares::list).post(shares::create))
        .route("/sessions/{id}/shares/{share}", delete(shares::revoke))
        .route("/tickets", post(tickets::create))
        .route("/tokens", get(tokens::list).post(tokens::create))
        .route("/tokens/{id}", delete(tokens::revoke))
        .route("/tokens/{id}/rotate", post(tokens::rotate))
        .route("/users/{name}", delete(users::purge))
        .route_layer(middleware::from_fn(caller::require_caller))
        .route_layer(middleware::map_response(forbid_caching))
        .route_layer(set_guest_cookie());
    Router::new()
        .route("/", get(assets::front_page).layer(set_guest_cookie()))
        .route("/embed", get(embed::embed))
        .route("/healthz", get(health::healthz))
        .route(LIVENESS_PATH, get(health::livez))
        .route("/openapi.json", get(openapi))
        .route(METRICS_PATH, get(metrics::metrics))
        .route(REDEEM_PATH, post(shares::redeem))
        .route("/static/{file}", get(assets::asset))
        .merge(for_known_callers)
        .fallback(any(problem::not_found))
        .method_not_allowed_fallback(problem::method_not_allowed)
        // `body::read_body` reads the bodies and enforces the configured limit.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(app.clone(), caller::identify_caller))
        .layer(cors)
        .layer(middleware::map_response_with_state(app.clone(), finish_response))
        .with_state(app)
}

/// Forbids caches to keep what only one caller may see, such as links with tickets.
async fn forbid_caching(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Adds the headers that every response has, and counts the response in the metrics.
async fn finish_response(State(app): State<App>, mut response: Response) -> Response {
    let code = response.extensions().get::<ErrorCode>().copied();
    // A bad health is an answer, and not the refusal of a request.
    if response.extensions().get::<health::HealthStatus>().is_none() {
        app.metrics.count_response(response.status().as_u16(), code);
    }
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    origins::withhold(&mut response);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_lists_the_codes_of_problems() {
        let document = serde_json::to_value(ApiDocument::openapi()).unwrap();
        let schemas = &document["components"]["schemas"];
        let required = schemas["Problem"]["required"].as_array().unwrap();
        assert!(required.iter().any(|field| field == "code"), "{required:?}");
        let codes = schemas["ErrorCode"]["enum"].as_array().unwrap();
        assert!(codes.iter().any(|code| code == "queue_full"), "{codes:?}");
    }
}
