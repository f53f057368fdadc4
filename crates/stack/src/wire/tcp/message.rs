//! Calls and outcomes as HTTP messages: the one place that knows both sides. Nothing has a body, so a
//! connection is free again as soon as the head of the answer is there.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderMap, HeaderName, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Empty;
use pumphandle_core::call::Advice;
use pumphandle_core::{Call, CallError, Class, Criticality, Outcome, Path, Reply, Time};

/// The number of the user request.
const ARRIVAL: HeaderName = HeaderName::from_static("pumphandle-arrival");
/// The call's place in the tree of calls.
const PATH: HeaderName = HeaderName::from_static("pumphandle-path");
/// Which attempt of its call it is, from 0.
const ATTEMPT: HeaderName = HeaderName::from_static("pumphandle-attempt");
/// How bad it is to refuse the request, by name; critical if absent.
const CRITICALITY: HeaderName = HeaderName::from_static("pumphandle-criticality");
/// The class of the request, by its number; the first if absent.
const CLASS: HeaderName = HeaderName::from_static("pumphandle-class");
/// How long the answer is still wanted, in nanoseconds. Not until when: the ends may be two processes, each of
/// which counts from a start of its own. The time on the way is therefore given to the service.
const TIME_LEFT: HeaderName = HeaderName::from_static("pumphandle-time-left");
/// The time after which the service is to end the work, in nanoseconds.
const KILL_AFTER: HeaderName = HeaderName::from_static("pumphandle-kill-after");
/// What an answer is beyond its status: [`DEGRADED`], or the name of an error.
const OUTCOME: HeaderName = HeaderName::from_static("pumphandle-outcome");
/// What a refusal advises: milliseconds after which to come back, or [`NEVER`]. Beside `Retry-After`, which
/// has whole seconds, and no word for "do not". (gRPC's `grpc-retry-pushback-ms` is the same, with a negative
/// number for it: proposal A6.)
const ADVICE: HeaderName = HeaderName::from_static("pumphandle-retry-after-ms");
/// Do not come back.
const NEVER: HeaderValue = HeaderValue::from_static("never");
/// As HTTP/1.1 says it.
const CLOSE: HeaderValue = HeaderValue::from_static("close");
/// A good answer by a fallback.
const DEGRADED: HeaderValue = HeaderValue::from_static("degraded");

/// The request that carries `call` at the instant `now`, all but its [`Call::caller`].
pub(super) fn request(call: &Call, host: &HeaderValue, now: Time) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::POST;
    let headers = request.headers_mut();
    headers.insert(HOST, host.clone());
    headers.insert(ARRIVAL, call.arrival.into());
    headers.insert(PATH, call.path.id().into());
    if call.attempt > 0 {
        headers.insert(ATTEMPT, call.attempt.into());
    }
    if call.criticality != Criticality::default() {
        headers.insert(CRITICALITY, HeaderValue::from_static(call.criticality.name()));
    }
    if call.class != Class::default() {
        headers.insert(CLASS, u64::from(call.class.0).into());
    }
    if let Some(deadline) = call.deadline {
        headers.insert(TIME_LEFT, (deadline.since(now).as_nanos() as u64).into());
    }
    if let Some(limit) = call.kill_after {
        headers.insert(KILL_AFTER, u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX).into());
    }
    request
}

/// The call that a request with these headers carries, read at the instant `now`; `None` if it carries none.
pub(super) fn read_request(headers: &HeaderMap, now: Time) -> Option<Call> {
    Some(Call {
        arrival: number(headers.get(ARRIVAL)?)?,
        path: Path::from_id(number(headers.get(PATH)?)?),
        attempt: u32::try_from(optional(headers.get(ATTEMPT))?.unwrap_or(0)).ok()?,
        criticality: match headers.get(CRITICALITY) {
            None => Criticality::default(),
            Some(name) => Criticality::from_name(name.to_str().ok()?)?,
        },
        class: Class(u8::try_from(optional(headers.get(CLASS))?.unwrap_or(0)).ok()?),
        deadline: optional(headers.get(TIME_LEFT))?.map(|left| now + Duration::from_nanos(left)),
        kill_after: optional(headers.get(KILL_AFTER))?.map(Duration::from_nanos),
        caller: None,
        advice: None,
    })
}

fn number(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}

/// `None` for what is there and is no number.
fn optional(value: Option<&HeaderValue>) -> Option<Option<u64>> {
    value.map_or(Some(None), |value| number(value).map(Some))
}

/// The answer that carries `outcome`, with advice if it is a refusal.
pub(super) fn response(outcome: Outcome, advice: Option<Advice>) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    match outcome {
        Ok(Reply { degraded: false }) => {}
        Ok(Reply { degraded: true }) => {
            response.headers_mut().insert(OUTCOME, DEGRADED);
        }
        Err(error) => {
            *response.status_mut() = status(error);
            response.headers_mut().insert(OUTCOME, HeaderValue::from_static(error.name()));
            if let Some(advice) = advice.filter(|_| error.is_refusal()) {
                write_advice(response.headers_mut(), advice);
            }
        }
    }
    response
}

fn write_advice(headers: &mut HeaderMap, advice: Advice) {
    match advice {
        Advice::DoNotRetry => drop(headers.insert(ADVICE, NEVER)),
        Advice::RetryAfter(time) => {
            let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            headers.insert(ADVICE, ms.into());
            // Rounded up: whoever knows only this header must not come back too early.
            headers.insert(RETRY_AFTER, ms.div_ceil(1_000).into());
        }
    }
}

/// The advice that an answer carries: ours, or the `Retry-After` of something in between, if it is in seconds.
pub(super) fn read_advice(headers: &HeaderMap) -> Option<Advice> {
    match headers.get(ADVICE) {
        Some(advice) if *advice == NEVER => Some(Advice::DoNotRetry),
        Some(advice) => number(advice).map(|ms| Advice::RetryAfter(Duration::from_millis(ms))),
        None => number(headers.get(RETRY_AFTER)?).map(|s| Advice::RetryAfter(Duration::from_secs(s))),
    }
}

/// The connection is not to be used again.
pub(super) fn close(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, CLOSE);
}

/// Whether the connection that this answer came on is not to be used again.
pub(super) fn closes(headers: &HeaderMap) -> bool {
    headers.get(CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(CLOSE.as_bytes()))
}

/// The answer to a request that carries no call.
pub(super) fn not_a_call() -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

/// The outcome that an answer carries. One without our header comes from something in between, such as a
/// proxy, and its status is all there is to go by.
pub(super) fn read_response<B>(response: &Response<B>) -> Outcome {
    match response.headers().get(OUTCOME) {
        Some(outcome) if *outcome == DEGRADED => Ok(Reply { degraded: true }),
        Some(outcome) => {
            Err(outcome.to_str().ok().and_then(CallError::from_name).unwrap_or(CallError::Failed))
        }
        None => match response.status() {
            status if status.is_success() => Ok(Reply::default()),
            StatusCode::TOO_MANY_REQUESTS => Err(CallError::Limited),
            StatusCode::BAD_GATEWAY => Err(CallError::Disconnected),
            StatusCode::SERVICE_UNAVAILABLE => Err(CallError::Overloaded),
            StatusCode::GATEWAY_TIMEOUT => Err(CallError::Timeout),
            _ => Err(CallError::Failed),
        },
    }
}

/// The status that HTTP has for an error: for people with a packet sniffer, and for proxies.
const fn status(error: CallError) -> StatusCode {
    match error {
        CallError::Overloaded | CallError::BreakerOpen | CallError::PoolTimeout => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        CallError::Timeout | CallError::DeadlineExceeded | CallError::Expired => StatusCode::GATEWAY_TIMEOUT,
        CallError::Killed | CallError::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        CallError::Disconnected => StatusCode::BAD_GATEWAY,
        CallError::Limited => StatusCode::TOO_MANY_REQUESTS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_call_survives_the_way(
            arrival in any::<u64>(),
            path in any::<u64>(),
            attempt in any::<u32>(),
            class in any::<u8>(),
            criticality in prop::sample::select(Criticality::ALL.to_vec()),
            deadline in any::<Option<u64>>(),
            kill_after in any::<Option<u64>>(),
            starts in (any::<u64>(), any::<u64>()),
        ) {
            let (here, there) = (Time::from_nanos(starts.0), Time::from_nanos(starts.1));
            let sent = Call {
                arrival,
                path: Path::from_id(path),
                attempt,
                class: Class(class),
                criticality,
                deadline: deadline.map(Time::from_nanos),
                kill_after: kill_after.map(Duration::from_nanos),
                caller: None,
                advice: None,
            };
            let request = request(&sent, &HeaderValue::from_static("localhost"), here);
            let read = read_request(request.headers(), there).unwrap();
            prop_assert_eq!(read.arrival, sent.arrival);
            prop_assert_eq!(read.attempt, sent.attempt);
            prop_assert_eq!(read.class, sent.class);
            prop_assert_eq!(read.criticality, sent.criticality);
            prop_assert_eq!(read.path, sent.path);
            // As much time is left there as was here, whatever the two clocks count from.
            prop_assert_eq!(read.deadline, sent.deadline.map(|deadline| there + deadline.since(here)));
            prop_assert_eq!(read.kill_after, sent.kill_after);
        }
    }

    #[test]
    fn every_outcome_survives_the_way_back() {
        let good = [false, true].map(|degraded| Ok(Reply { degraded }));
        for outcome in good.into_iter().chain(CallError::ALL.map(Err)) {
            let response = response(outcome, None);
            assert_eq!(response.status().is_success(), outcome.is_ok());
            assert_eq!(read_response(&response), outcome);
        }
    }

    #[test]
    fn advice_travels_with_refusals_and_with_nothing_else() {
        let times =
            [0, 1, 999, 1_000, 1_001, 86_400_000].map(|ms| Advice::RetryAfter(Duration::from_millis(ms)));
        for advice in times.into_iter().chain([Advice::DoNotRetry]) {
            for error in CallError::ALL {
                let read = read_advice(response(Err(error), Some(advice)).headers());
                assert_eq!(read, error.is_refusal().then_some(advice), "{error}");
            }
            assert_eq!(read_advice(response(Ok(Reply::default()), Some(advice)).headers()), None);
        }
        let seconds = |ms| {
            let advice = Advice::RetryAfter(Duration::from_millis(ms));
            let response = response(Err(CallError::Overloaded), Some(advice));
            number(&response.headers()[RETRY_AFTER])
        };
        assert_eq!([0, 1, 1_000, 1_001].map(seconds), [Some(0), Some(1), Some(1), Some(2)]);
    }

    #[test]
    fn a_retry_after_from_in_between_is_heeded_if_it_is_in_seconds() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            read_advice(&headers)
        };
        assert_eq!(of("3"), Some(Advice::RetryAfter(Duration::from_secs(3))));
        assert_eq!(of("Wed, 21 Oct 2015 07:28:00 GMT"), None);
        assert_eq!(read_advice(&HeaderMap::new()), None);
    }

    #[test]
    fn a_request_without_a_call_or_with_a_broken_one_is_refused() {
        assert!(read_request(&HeaderMap::new(), Time::ZERO).is_none());
        for broken in [ARRIVAL, PATH, CLASS, CRITICALITY, TIME_LEFT, KILL_AFTER] {
            let mut request = request(&Call::arriving(1), &HeaderValue::from_static("localhost"), Time::ZERO);
            request.headers_mut().insert(broken, HeaderValue::from_static("soon"));
            assert!(read_request(request.headers(), Time::ZERO).is_none());
        }
    }

    #[test]
    fn an_answer_from_in_between_is_read_by_its_status() {
        let of = |status: u16| {
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            read_response(&response)
        };
        assert_eq!(of(204), Ok(Reply::default()));
        assert_eq!(of(502), Err(CallError::Disconnected));
        assert_eq!(of(503), Err(CallError::Overloaded));
        assert_eq!(of(504), Err(CallError::Timeout));
        assert_eq!(of(418), Err(CallError::Failed));
    }
}
