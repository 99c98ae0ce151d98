//! The requests.

use axum::Router;
use axum::extract::{Json, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::db::{ROWS_MAX, Reader, Write};

/// What every request can reach.
#[derive(Debug, Clone)]
pub(crate) struct App {
    writer: mpsc::Sender<Write>,
    reader: Reader,
}

impl App {
    pub(crate) fn new(writer: mpsc::Sender<Write>, reader: Reader) -> Self {
        Self { writer, reader }
    }
}

#[derive(Debug, Deserialize)]
struct One {
    client: String,
    n: i64,
}

#[derive(Debug, Deserialize)]
struct Batch {
    client: String,
    numbers: Vec<i64>,
}

#[derive(Debug, Deserialize)]
struct Filter {
    client: Option<String>,
    #[serde(default)]
    after: i64,
}

type Answer = Result<Json<Value>, (StatusCode, String)>;

/// The routes.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/write", post(write))
        .route("/batch", post(batch))
        .route("/count", get(count))
        .route("/rows", get(rows))
        .route("/integrity", get(integrity))
        .route("/version", get(async || concat!("demo-backend ", env!("CARGO_PKG_VERSION"), "\n")))
        .route("/health", get(health))
        .with_state(app)
}

async fn write(State(app): State<App>, Json(one): Json<One>) -> Answer {
    let ids = commit(&app, one.client, vec![one.n]).await?;
    Ok(Json(json!({ "id": ids.first() })))
}

async fn batch(State(app): State<App>, Json(batch): Json<Batch>) -> Answer {
    let ids = commit(&app, batch.client, batch.numbers).await?;
    Ok(Json(json!({ "ids": ids })))
}

async fn commit(
    app: &App,
    client: String,
    numbers: Vec<i64>,
) -> Result<Vec<i64>, (StatusCode, String)> {
    let (done, answer) = oneshot::channel();
    let gone = |_| (StatusCode::SERVICE_UNAVAILABLE, String::from("the writer has ended\n"));
    app.writer.send(Write { client, numbers, done }).await.map_err(|e| gone(e.to_string()))?;
    answer.await.map_err(|e| gone(e.to_string()))?.map_err(failed)
}

async fn count(State(app): State<App>, Query(filter): Query<Filter>) -> Answer {
    read(move || app.reader.count(filter.client.as_deref()).map(|count| json!(count))).await
}

async fn rows(State(app): State<App>, Query(filter): Query<Filter>) -> Answer {
    read(move || {
        let rows = app.reader.rows(filter.client.as_deref(), filter.after)?;
        let full = u32::try_from(rows.len()).is_ok_and(|n| n == ROWS_MAX);
        let next = rows.last().filter(|_| full).map(|(id, _)| *id);
        Ok(json!({ "rows": rows, "next": next }))
    })
    .await
}

async fn integrity(State(app): State<App>) -> Answer {
    read(move || app.reader.integrity().map(|result| json!({ "integrity": result }))).await
}

/// Healthy when the database answers.
async fn health(State(app): State<App>) -> Answer {
    read(move || app.reader.count(Some("")).map(|_| json!({ "status": "ok" }))).await
}

async fn read(query: impl FnOnce() -> Result<Value, rusqlite::Error> + Send + 'static) -> Answer {
    let done = tokio::task::spawn_blocking(query).await;
    let done = done.map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, format!("{e}\n")))?;
    done.map(Json).map_err(failed)
}

/// Busy is worth a retry; everything else is not.
fn failed(error: rusqlite::Error) -> (StatusCode, String) {
    let busy = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy);
    let code =
        if busy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
    (code, format!("{error}\n"))
}
