//! The edges where the rig meets the tower ecosystem: any [`Service`] of the rig as a `tower::Service`, and
//! the other way round. Inside, policies are called by reference and need neither readiness nor clones.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pumphandle_core::{Answering, Call, CallError, Reply, Service};
use tower::util::ServiceExt;

/// A service of the rig, for tower. Always ready: it queues or refuses by its own policies.
#[derive(Clone)]
pub struct AsTower(pub Arc<dyn Service>);

impl tower::Service<Call> for AsTower {
    type Response = Reply;
    type Error = CallError;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, CallError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let service = Arc::clone(&self.0);
        Box::pin(async move { service.call(call).await })
    }
}

/// A tower service, for the rig: cloned per call, since tower calls by exclusive reference.
pub struct FromTower<S>(pub S);

impl<S> Service for FromTower<S>
where
    S: tower::Service<Call, Response = Reply, Error = CallError> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    fn call(&self, call: Call) -> Answering<'_> {
        Box::pin(self.0.clone().oneshot(call))
    }
}
