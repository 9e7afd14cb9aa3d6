//! The requests of one connection that are being answered.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    response::Response,
};
use hyper::body::{Frame, SizeHint};
use tokio::sync::watch;

/// Counts the requests of a connection from their head to the end of the response.
#[derive(Clone, Default)]
pub(super) struct InFlight(watch::Sender<usize>);

/// A request that is being answered, until this is dropped.
pub(super) struct RequestInFlight(watch::Sender<usize>);

impl InFlight {
    /// Counts a request.
    pub fn begin(&self) -> RequestInFlight {
        self.0.send_modify(|count| *count += 1);
        RequestInFlight(self.0.clone())
    }

    /// Waits until there was no request for `timeout`.
    pub async fn idle(&self, timeout: Duration) {
        let mut count = self.0.subscribe();
        // The channel stays open while `self` is borrowed, so no wait fails.
        loop {
            let _ = count.wait_for(|count| *count == 0).await;
            if tokio::time::timeout(timeout, count.wait_for(|count| *count > 0)).await.is_err() {
                return;
            }
        }
    }
}

impl RequestInFlight {
    /// The response with a body that holds this until it is sent.
    pub fn hold(self, response: Response) -> Response {
        response.map(|body| Body::new(TrackedBody { body, _request: self }))
    }
}

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// A body during which its request is being answered.
struct TrackedBody {
    body: Body,
    _request: RequestInFlight,
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_between_its_requests() {
        let in_flight = InFlight::default();
        let timeout = Duration::from_secs(75);
        let began = tokio::time::Instant::now();
        let requests = async {
            for _ in 0..3 {
                let request = in_flight.begin();
                tokio::time::sleep(timeout * 2).await;
                drop(request.hold(Response::new(Body::from("text"))));
                tokio::time::sleep(timeout / 2).await;
            }
        };
        tokio::join!(requests, in_flight.idle(timeout));
        assert_eq!(began.elapsed(), timeout * 2 * 3 + timeout / 2 * 2 + timeout);
    }
}
