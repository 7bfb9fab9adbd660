//! The canonical bytes of statements, and their digests.
//!
//! Each line is a JSON object in UTF-8 with a line feed after it. Its members are in one order, those
//! that are absent are left out, and there are no spaces. Of the characters in strings only `"`, `\`
//! and control characters are escaped. The bytes are the same for every reader and never change: a
//! later format gets another number and a writer of its own.

use sha2::{Digest, Sha256};

use crate::billable::statement::Line;
use crate::billable::{Text, Timestamp};

/// The number of this format.
pub const FORMAT: u32 = 1;

/// Writes an object, member by member.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self("{".to_owned())
    }

    /// Adds a member with a value in JSON.
    fn value(&mut self, name: &str, json: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
        self.0.push_str(json);
    }

    fn text(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            let json = serde_json::to_string(text).expect("a string serialises");
            self.value(name, &json);
        }
    }

    fn time(&mut self, name: &str, time: Option<Timestamp>) {
        self.text(name, time.map(|time| time.to_string()).as_deref());
    }

    /// Adds a member only if it is true.
    fn flag(&mut self, name: &str, is_set: bool) {
        if is_set {
            self.value(name, "true");
        }
    }

    fn end(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }
}

/// Writes a line of a statement.
pub fn write_line(line: &Line) -> String {
    let text = |text: &Option<Text>| text.as_ref().map(|text| text.as_str().to_owned());
    let mut out = Object::new();
    out.text("line", Some(line.kind.as_str()));
    out.flag("late", line.is_late);
    out.flag("opening", line.is_opening);
    out.text("id", Some(&line.billable_id.to_string()));
    out.text("customerId", Some(line.customer_id.as_str()));
    out.text("sessionId", text(&line.session_id).as_deref());
    out.text("callSid", text(&line.call_sid).as_deref());
    out.time("occurredAt", Some(line.occurred_at));
    out.time("recordedAt", Some(line.recorded_at));
    out.time("attributedAt", line.attributed_at);
    out.time("voidedAt", line.voided_at);
    out.text("voidReason", text(&line.void_reason).as_deref());
    out.end()
}

/// A SHA-256 in lower-case hex.
pub type Hex = String;

/// What the digest of a statement covers in addition to its lines.
#[derive(Clone, Debug)]
pub struct Header<'a> {
    pub account_id: &'a str,
    pub number: u64,
    /// The end of the statement before, or the start of the first one, if there is one.
    pub from: Option<Timestamp>,
    pub until: Timestamp,
    /// The last day, `YYYY-MM-DD`, in the time zone.
    pub end_date: &'a str,
    pub time_zone: &'a str,
    pub line_count: u64,
    pub lines_sha256: &'a str,
    /// The digest of the last statement before that was not withdrawn; `None` for the first.
    pub previous_sha256: Option<&'a str>,
}

impl Header<'_> {
    /// Returns the digest of the statement. It covers that of the statement before it, so the
    /// statements of an account are a chain.
    pub fn sha256(&self) -> Hex {
        let mut out = Object::new();
        out.value("format", &FORMAT.to_string());
        out.text("accountId", Some(self.account_id));
        out.value("number", &self.number.to_string());
        out.time("from", self.from);
        out.time("until", Some(self.until));
        out.text("endDate", Some(self.end_date));
        out.text("timeZone", Some(self.time_zone));
        out.value("lineCount", &self.line_count.to_string());
        out.text("linesSha256", Some(self.lines_sha256));
        out.text("previousSha256", self.previous_sha256);
        hex(Sha256::digest(out.end()).as_ref())
    }
}

/// Counts the lines of a statement, and digests them in their order.
#[derive(Clone, Debug, Default)]
pub struct LinesDigest {
    sha: Sha256,
    count: u64,
}

impl LinesDigest {
    /// Adds the next line, as [`write_line`] writes it.
    pub fn add(&mut self, line: &str) {
        self.sha.update(line);
        self.count += 1;
    }

    /// Returns the number of lines and their digest.
    pub fn finish(self) -> (u64, Hex) {
        (self.count, hex(self.sha.finalize().as_ref()))
    }
}

fn hex(bytes: &[u8]) -> Hex {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::billable::Field;
    use crate::billable::statement::LineKind;

    fn text(text: &str) -> Text {
        Text::parse(Field::CallSid, text.to_owned()).expect("a text")
    }

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a time")
    }

    fn lines() -> [Line; 3] {
        let billed = Line {
            kind: LineKind::Billed,
            is_late: false,
            is_opening: false,
            billable_id: Uuid::from_u128(0x5bcc_f8b1_3a2b_8a5a_9326_ce33_2755_f0ba),
            customer_id: text("cus"),
            session_id: None,
            call_sid: Some(text("CA1")),
            occurred_at: time("2026-03-01T08:30:00Z"),
            recorded_at: time("2026-03-01T08:30:02.5Z"),
            attributed_at: None,
            voided_at: None,
            void_reason: None,
        };
        let voided = Line {
            kind: LineKind::Voided,
            is_late: true,
            session_id: Some(text("S/\"1\"\\é\u{2028}😀")),
            attributed_at: Some(time("2026-03-02T00:00:00Z")),
            voided_at: Some(time("2026-03-03T00:00:00.000001Z")),
            void_reason: Some(text("a test")),
            ..billed.clone()
        };
        let credited = Line {
            kind: LineKind::Credited,
            is_opening: true,
            call_sid: None,
            voided_at: Some(time("2026-03-04T00:00:00Z")),
            ..billed.clone()
        };
        [billed, voided, credited]
    }

    /// What every later version writes for the same lines.
    const GOLDEN: &str = concat!(
        r#"{"line":"billed","id":"5bccf8b1-3a2b-8a5a-9326-ce332755f0ba","customerId":"cus","callSid":"CA1","occurredAt":"2026-03-01T08:30:00.000000Z","recordedAt":"2026-03-01T08:30:02.500000Z"}"#,
        "\n",
        r#"{"line":"voided","late":true,"id":"5bccf8b1-3a2b-8a5a-9326-ce332755f0ba","customerId":"cus","sessionId":"S/\"1\"\\é"#,
        "\u{2028}😀",
        r#"","callSid":"CA1","occurredAt":"2026-03-01T08:30:00.000000Z","recordedAt":"2026-03-01T08:30:02.500000Z","attributedAt":"2026-03-02T00:00:00.000000Z","voidedAt":"2026-03-03T00:00:00.000001Z","voidReason":"a test"}"#,
        "\n",
        r#"{"line":"credited","opening":true,"id":"5bccf8b1-3a2b-8a5a-9326-ce332755f0ba","customerId":"cus","occurredAt":"2026-03-01T08:30:00.000000Z","recordedAt":"2026-03-01T08:30:02.500000Z","voidedAt":"2026-03-04T00:00:00.000000Z"}"#,
        "\n",
    );

    #[test]
    fn lines_are_written_as_ever() {
        let written: String = lines().iter().map(write_line).collect();
        assert_eq!(written, GOLDEN);
    }

    #[test]
    fn the_digest_covers_the_lines_the_header_and_the_statement_before() {
        let mut digest = LinesDigest::default();
        GOLDEN
            .split_inclusive('\n')
            .for_each(|line| digest.add(line));
        let (line_count, lines_sha256) = digest.finish();
        assert_eq!(line_count, 3);
        assert_eq!(lines_sha256, hex(Sha256::digest(GOLDEN).as_ref()));
        let header = Header {
            account_id: "acc",
            number: 1,
            from: None,
            until: time("2026-03-31T22:00:00Z"),
            end_date: "2026-03-31",
            time_zone: "Europe/Rome",
            line_count,
            lines_sha256: &lines_sha256,
            previous_sha256: None,
        };
        let first = header.sha256();
        let text = format!(
            "{{\"format\":1,\"accountId\":\"acc\",\"number\":1,\"until\":\"2026-03-31T22:00:00.000000Z\",\"endDate\":\"2026-03-31\",\"timeZone\":\"Europe/Rome\",\"lineCount\":3,\"linesSha256\":\"{lines_sha256}\"}}\n"
        );
        assert_eq!(first, hex(Sha256::digest(text).as_ref()));
        let second = Header {
            previous_sha256: Some(&first),
            ..header.clone()
        };
        assert_ne!(second.sha256(), first);
        let other = Header {
            number: 2,
            ..header
        };
        assert_ne!(other.sha256(), first);
    }
}
