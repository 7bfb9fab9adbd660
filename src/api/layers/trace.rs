//! W3C Trace Context: the ids of a `traceparent` header, for the log.

use http::HeaderMap;

/// The trace that a request belongs to, and the id of the parent span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) struct TraceParent<'a> {
    /// 32 hexadecimal digits.
    pub(in crate::api) trace_id: &'a str,
    /// 16 hexadecimal digits.
    pub(in crate::api) parent_id: &'a str,
}

impl<'a> TraceParent<'a> {
    /// Returns the ids, if there is one header and it is valid. If its version is newer, only the
    /// fields of version 00 are read, as the recommendation requires.
    pub(in crate::api) fn of(headers: &'a HeaderMap) -> Option<Self> {
        let mut values = headers.get_all("traceparent").iter();
        let (value, None) = (values.next()?, values.next()) else {
            return None;
        };
        Self::parse(value.to_str().ok()?)
    }

    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let [version, trace_id, parent_id, flags] = [(); 4].map(|()| parts.next());
        let is_hex = |part: &str, length| {
            let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            part.len() == length && part.bytes().all(digit)
        };
        let is_id =
            |part: &str, length| is_hex(part, length) && part.bytes().any(|byte| byte != b'0');
        let (version, trace_id, parent_id) = (version?, trace_id?, parent_id?);
        let has_end = match version {
            "00" => parts.next().is_none(),
            "ff" => false,
            _ => true,
        };
        let is_whole = has_end
            && is_hex(version, 2)
            && is_id(trace_id, 32)
            && is_id(parent_id, 16)
            && is_hex(flags?, 2);
        is_whole.then_some(Self {
            trace_id,
            parent_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_traceparent_gives_ids() {
        let (trace_id, parent_id) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let ids = Some(TraceParent {
            trace_id,
            parent_id,
        });
        for good in [
            "00-{t}-{p}-01",
            "00-{t}-{p}-00",
            "cc-{t}-{p}-01-more",
            "cc-{t}-{p}-01",
        ] {
            let text = good.replace("{t}", trace_id).replace("{p}", parent_id);
            assert_eq!(TraceParent::parse(&text), ids, "{text}");
        }
        let zeros = "0".repeat(32);
        for bad in [
            "",
            "00",
            "00-{t}-{p}",
            "00-{t}-{p}-1",
            "00-{t}-{p}-01-",
            "00-{t}-{p}-01-x",
            "ff-{t}-{p}-01",
            "0-{t}-{p}-01",
            "00-{p}-{t}-01",
            "00-{t}x-{p}-01",
            "00-{z}-{p}-01",
            "00-{t}-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-{p}-01",
        ] {
            let text = bad
                .replace("{t}", trace_id)
                .replace("{p}", parent_id)
                .replace("{z}", &zeros);
            assert_eq!(TraceParent::parse(&text), None, "{text}");
        }
    }
}
