//! Files as carriers and PBXs write them, and what `import` and `check` make of each.
//!
//! The files are ours, made after public descriptions and the defaults of spreadsheets: separators,
//! encodings, times, headers, and rows that are no calls.

use encoding_rs::{SHIFT_JIS, WINDOWS_1251, WINDOWS_1252};
use serde_json::{Value, json};

use crate::import_export::{Files, call, output, report};
use crate::support::{Database, Server, on_both_databases};

/// A file, and what must come of it.
struct CarrierFile {
    /// Its name says its format.
    name: &'static str,
    bytes: Vec<u8>,
    flags: &'static [&'static str],
    /// What the first line on standard error says behind the name.
    understood: &'static str,
    /// The calls that are stored, with their times.
    calls: &'static [(&'static str, &'static str)],
    /// The lines of the rows that are not stored, with a part of the reason.
    refused: &'static [(u64, &'static str)],
    left_out: usize,
}

impl CarrierFile {
    fn understood(self, understood: &'static str) -> Self {
        Self { understood, ..self }
    }

    fn calls(self, calls: &'static [(&'static str, &'static str)]) -> Self {
        Self { calls, ..self }
    }

    fn refused(self, refused: &'static [(u64, &'static str)]) -> Self {
        Self { refused, ..self }
    }

    fn left_out(self, left_out: usize) -> Self {
        Self { left_out, ..self }
    }
}

fn of(
    name: &'static str,
    bytes: impl Into<Vec<u8>>,
    flags: &'static [&'static str],
) -> CarrierFile {
    CarrierFile {
        name,
        bytes: bytes.into(),
        flags,
        understood: "",
        calls: &[],
        refused: &[],
        left_out: 0,
    }
}

const MAPPED: &[&str] = &["--map", "callSid=Id", "--map", "occurredAt=Start"];
const IN_ROME: &[&str] = &[
    "--map",
    "callSid=Id",
    "--map",
    "occurredAt=Start",
    "--time-zone",
    "Europe/Rome",
];
const GERMAN: &[&str] = &[
    "--map",
    "callSid=Id",
    "--map",
    "occurredAt=Start",
    "--time-zone",
    "Europe/Berlin",
    "--time-format",
    "%d.%m.%Y %H:%M:%S",
];
const BY_NUMBER: &[&str] = &["--no-header", "--map", "callSid=1", "--map", "occurredAt=2"];
const ONE: &[(&str, &str)] = &[("C1", "2026-03-01T08:30:00.000000Z")];
const ONE_TWICE: &[(&str, &str)] = &[
    ("C1", "2026-03-01T08:30:00.000000Z"),
    ("C1", "2026-03-01T08:30:00.000000Z"),
];
const TWO: &[(&str, &str)] = &[
    ("C1", "2026-03-01T08:30:00.000000Z"),
    ("C2", "2026-03-01T08:31:00.000000Z"),
];

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

fn encoded(encoding: &'static encoding_rs::Encoding, text: &str) -> Vec<u8> {
    encoding.encode(text).0.into_owned()
}

/// Separators and quotes.
fn separators() -> Vec<CarrierFile> {
    vec![
        of(
            "comma.csv",
            "Id,Start\nC1,2026-03-01T08:30:00Z\nC2,2026-03-01T08:31:00Z\n",
            MAPPED,
        )
        .understood("separator ,, callSid from \"Id\", occurredAt from \"Start\", 2 rows")
        .calls(TWO),
        of(
            "semicolon.csv",
            "Id;Start;Price\nC1;2026-03-01T08:30:00Z;1,50\nC2;2026-03-01T08:31:00Z;0,75\n",
            MAPPED,
        )
        .understood("separator ;, ")
        .calls(TWO),
        of(
            "tab.csv",
            "Id\tStart\tTo\nC1\t2026-03-01T08:30:00Z\t\"a, b\"\n",
            MAPPED,
        )
        .understood("separator tab, ")
        .calls(ONE),
        of("pipe.csv", "Id|Start\nC1|2026-03-01T08:30:00Z\n", MAPPED)
            .understood("separator |, ")
            .calls(ONE),
        of(
            "caret.csv",
            "Id^Start\nC1^2026-03-01T08:30:00Z\n",
            &[
                "--map",
                "callSid=Id",
                "--map",
                "occurredAt=Start",
                "--separator",
                "^",
            ],
        )
        .understood("separator ^, ")
        .calls(ONE),
        of(
            "trailing-separator.csv",
            "Id;Start;\nC1;2026-03-01T08:30:00Z;\n",
            MAPPED,
        )
        .calls(ONE),
        of(
            "separator-only-behind-rows.csv",
            "Id;Start\r\nC1;2026-03-01T08:30:00Z;\r\nC2;2026-03-01T08:31:00Z;\r\n",
            MAPPED,
        )
        .calls(TWO),
        of(
            "commas-in-quotes.csv",
            "\"Name, first\";Id;Start\n\"Roe, Jane\";C1;2026-03-01T08:30:00Z\n",
            MAPPED,
        )
        .understood("separator ;, ")
        .calls(ONE),
        of(
            "line-in-a-cell.csv",
            "Note,Id,Start\n\"two\nlines\",C1,2026-03-01T08:30:00Z\n",
            MAPPED,
        )
        .calls(ONE),
        of(
            "excel-says-it.csv",
            "sep=;\r\nId;Start\r\nC1;2026-03-01T08:30:00Z\r\n",
            MAPPED,
        )
        .understood("separator ;, header in line 2, ")
        .calls(ONE),
        of(
            "old-mac.csv",
            "Id,Start\rC1,2026-03-01T08:30:00Z\rC2,2026-03-01T08:31:00Z\r",
            MAPPED,
        )
        .calls(TWO),
        of(
            "too-many-cells.csv",
            "Id,Start\nC1,2026-03-01T08:30:00Z\nC2,2026-03-01T08:31:00Z,x\n",
            MAPPED,
        )
        .calls(ONE)
        .refused(&[(3, "the row has too many cells")]),
    ]
}

/// Encodings.
fn encodings() -> Vec<CarrierFile> {
    let french = "Id;Start;Nom\nC1;2026-03-01T08:30:00Z;Jérôme\nÉ2;2026-03-01T08:31:00Z;Zoé €\n";
    const FRENCH: &[(&str, &str)] = &[
        ("C1", "2026-03-01T08:30:00.000000Z"),
        ("É2", "2026-03-01T08:31:00.000000Z"),
    ];
    vec![
        of("utf-8.csv", french, MAPPED)
            .understood("separator ;, callSid")
            .calls(FRENCH),
        of("utf-8-with-mark.csv", format!("\u{feff}{french}"), MAPPED).calls(FRENCH),
        of("windows-1252.csv", encoded(WINDOWS_1252, french), MAPPED)
            .understood("separator ;, windows-1252, ")
            .calls(FRENCH),
        of(
            "utf-16le-with-mark.csv",
            utf16(&format!("\u{feff}{french}"), u16::to_le_bytes),
            MAPPED,
        )
        .understood("separator ;, UTF-16LE, ")
        .calls(FRENCH),
        of("utf-16be.csv", utf16(french, u16::to_be_bytes), MAPPED)
            .understood("separator ;, UTF-16BE, ")
            .calls(FRENCH),
        of("utf-16le.csv", utf16(french, u16::to_le_bytes), MAPPED).calls(FRENCH),
        of(
            "cyrillic.csv",
            encoded(WINDOWS_1251, "Id,Start\nЖ1,2026-03-01T08:30:00Z\n"),
            &[
                "--map",
                "callSid=Id",
                "--map",
                "occurredAt=Start",
                "--encoding",
                "windows-1251",
            ],
        )
        .understood("separator ,, windows-1251, ")
        .calls(&[("Ж1", "2026-03-01T08:30:00.000000Z")]),
        of(
            "japanese.csv",
            encoded(SHIFT_JIS, "Id,Start\n通1,2026-03-01T08:30:00Z\n"),
            &[
                "--map",
                "callSid=Id",
                "--map",
                "occurredAt=Start",
                "--encoding",
                "shift_jis",
            ],
        )
        .calls(&[("通1", "2026-03-01T08:30:00.000000Z")]),
        of(
            "mixed.csv",
            [french.as_bytes(), b"\xc92;2026-03-01T08:31:00Z;x\n"].concat(),
            MAPPED,
        )
        .understood("separator ;, callSid")
        .calls(FRENCH)
        .refused(&[(4, "the row is not UTF-8; --encoding names another one")]),
        of(
            "broken-utf-16.csv",
            [
                utf16(
                    "\u{feff}Id,Start\nC1,2026-03-01T08:30:00Z\n",
                    u16::to_le_bytes,
                ),
                vec![0, 0xd8, b'x', 0],
            ]
            .concat(),
            MAPPED,
        )
        .calls(ONE)
        .refused(&[(3, "the row is not UTF-16LE")]),
    ]
}

/// Times.
fn times() -> Vec<CarrierFile> {
    vec![
        of("local.csv", "Id;Start\nC1;2026-03-01 09:30:00\n", IN_ROME)
            .understood(
                "separator ;, callSid from \"Id\", occurredAt from \"Start\" in Europe/Rome, 1 row",
            )
            .calls(ONE),
        of("slashes.csv", "Id,Start\nC1,2026/03/01 09:30:00\n", IN_ROME).calls(ONE),
        of(
            "unix.csv",
            "Id,Start\nC1,1772353800\nC2,1772353860000\n",
            MAPPED,
        )
        .calls(TWO),
        of(
            "mail.csv",
            "Id,Start\nC1,\"Sun, 01 Mar 2026 08:30:00 +0000\"\n",
            MAPPED,
        )
        .calls(ONE),
        of(
            "postgresql.csv",
            "Id,Start\nC1,2026-03-01 08:30:00+00\nC2,2026-03-01 09:31:00+0100\n",
            MAPPED,
        )
        .calls(TWO),
        of(
            "german.csv",
            "Id;Start\nC1;01.03.2026 09:30:00\nC2;01.03.2026 09:31:00\n",
            GERMAN,
        )
        .calls(TWO),
        of(
            "digits.csv",
            "Id,Start\nC1,20260301083000\n",
            &[
                "--map",
                "callSid=Id",
                "--map",
                "occurredAt=Start",
                "--time-format",
                "%Y%m%d%H%M%S",
                "--time-zone",
                "UTC",
            ],
        )
        .calls(ONE),
        of(
            "without-zone.csv",
            "Id,Start\nC1,2026-03-01 08:30:00\n",
            MAPPED,
        )
        .refused(&[(
            2,
            "has no offset, and no time zone is set for it; --time-zone",
        )]),
        of(
            "day-first.csv",
            "Id,Start\nC1,01/03/2026 08:30:00\n",
            IN_ROME,
        )
        .refused(&[(2, "is not in a form that can be read; --time-format")]),
        of(
            "empty-time.csv",
            "Id,Start\nC1,2026-03-01T08:30:00Z\nTotal,\n",
            MAPPED,
        )
        .calls(ONE)
        .refused(&[(3, "occurredAt is not given at column:Start")]),
        of(
            "own-names-empty-time.csv",
            "callSid,occurredAt\nC1,2026-03-01 08:30:00+00\nTotal,\n",
            &[],
        )
        .calls(ONE)
        .refused(&[(3, "the row has no occurredAt")]),
        of("autumn.csv", "Id,Start\nC1,2026-10-25 02:30:00\n", IN_ROME)
            .calls(&[("C1", "2026-10-25T00:30:00.000000Z")]),
    ]
}

/// Headers, and rows that are no calls.
fn headers() -> Vec<CarrierFile> {
    vec![
        of("no-header.csv", "C1,2026-03-01T08:30:00Z,x\nC2,2026-03-01T08:31:00Z,y\n", BY_NUMBER)
            .understood("separator ,, no header, ")
            .calls(TWO),
        of("no-header-semicolon.csv", "C1;2026-03-01T08:30:00Z;1,5\nC2;2026-03-01T08:31:00Z;2,5\n", BY_NUMBER)
            .understood("separator ;, no header, ")
            .calls(TWO),
        of("title-above.csv", "Calls of March 2026\nCustomer;4711\n\nId;Start\nC1;2026-03-01T08:30:00Z\n", MAPPED)
            .understood("separator ;, header in line 4 below 2 rows that are not read, ")
            .calls(ONE),
        of("header-again.csv", "Id,Start\nC1,2026-03-01T08:30:00Z\nId,Start\nC2,2026-03-01T08:31:00Z\n", MAPPED)
            .calls(TWO)
            .left_out(1),
        of("padded-header.csv", " Id , START \nC1,2026-03-01T08:30:00Z\n", MAPPED).calls(ONE),
        of("blank-rows.csv", "Id;Start\n\n;;\nC1;2026-03-01T08:30:00Z\n   \n", MAPPED).calls(ONE),
        of("only-calls.csv", "Type;Id;Start\ncall;C1;2026-03-01T08:30:00Z\nsms;C2;2026-03-01T08:31:00Z\n;;\nsum;;\n", &[
            "--map", "callSid=Id", "--map", "occurredAt=Start", "--where", "Type=call,fax",
        ])
        .understood("separator ;, callSid from \"Id\", occurredAt from \"Start\", where \"Type=call,fax\", ")
        .calls(ONE)
        .left_out(2),
        of("padded-ids.csv", "Id,Start\n\"C1       \",2026-03-01T08:30:00Z\nC1,2026-03-01T08:30:00Z\n", MAPPED).calls(ONE),
        of("guarded.csv", "Id,Start\n'+39-1,2026-03-01T08:30:00Z\n", MAPPED)
            .calls(&[("+39-1", "2026-03-01T08:30:00.000000Z")]),
        of("excel-rounded-ids.csv", "Id,Start\n1.77235E+09,2026-03-01T08:30:00Z\n1.77235E+09,2026-03-01T09:30:00Z\n", MAPPED)
            .calls(&[("1.77235E+09", "2026-03-01T08:30:00.000000Z")])
            .refused(&[(3, "it is another call, or the same one by another clock")]),
        of("null-ids.csv", "Id,Start\n\\N,2026-03-01T08:30:00Z\n\\N,2026-03-01T08:31:00Z\n", MAPPED)
            .calls(&[("\\N", "2026-03-01T08:30:00.000000Z")])
            .refused(&[(3, "it is another call")]),
    ]
}

/// Files that a reader with less care loses calls of, or bills wrongly.
fn traps() -> Vec<CarrierFile> {
    const AT_ONCE: &[&str] = &["--map", "callSid=CallID", "--map", "occurredAt=Start"];
    const KEYED: &[&str] = &[
        "--no-header",
        "--map",
        "callSid=1",
        "--map",
        "key=2",
        "--map",
        "occurredAt=3",
    ];
    vec![
        // A later row that has more of our names is no header: the calls above it would be lost.
        of(
            "second-table.csv",
            "CallID,Start,Caller\nC1,2026-03-01T08:30:00Z,Anna\n\nOpen calls\nCallID,Start,State\nC2,2026-03-01T08:31:00Z,open\n",
            AT_ONCE,
        )
        .understood("separator ,, callSid from \"CallID\", occurredAt from \"Start\", 3 rows")
        .calls(TWO)
        .refused(&[(4, "occurredAt is not given")])
        .left_out(1),
        of(
            "hostile-id.csv",
            "CallID,Caller\nC1,Anna\nCallID,Eve\n",
            &[
                "--map",
                "callSid=CallID",
                "--set",
                "occurredAt=2026-03-01T08:30:00Z",
            ],
        )
        .calls(&[
            ("C1", "2026-03-01T08:30:00.000000Z"),
            ("CallID", "2026-03-01T08:30:00.000000Z"),
        ]),
        of("hostile-name.csv", "CallID,Start,Caller\nC1,2026-03-01T08:30:00Z,Anna\nCallID,2026-03-01T08:30:30Z,state\nC2,2026-03-01T08:31:00Z,Eve\n", AT_ONCE)
            .calls(&[
                ("C1", "2026-03-01T08:30:00.000000Z"),
                ("C2", "2026-03-01T08:31:00.000000Z"),
                ("CallID", "2026-03-01T08:30:30.000000Z"),
            ]),
        of("key-by-number.csv", "C1,K1,2026-03-01T08:30:00Z\nC1,K2,2026-03-01T08:30:00Z\n", KEYED)
            .understood("separator ,, no header, callSid from \"1\", occurredAt from \"3\", key from \"2\"")
            .calls(ONE_TWICE),
        of("key-nested.json", "[{\"c\":\"C1\",\"d\":{\"k\":\"K3\"},\"t\":1772353800},{\"c\":\"C1\",\"d\":{\"k\":7},\"t\":1772353800},{\"c\":\"C1\",\"d\":{},\"t\":1772353800}]", &[
            "--map", "callSid=c", "--map", "key=/d/k", "--map", "occurredAt=t",
        ])
        .calls(ONE_TWICE)
        .refused(&[(1, "key is not given at /d/k")]),
        of("blank-before-quote.csv", "Start,Id\n2026-03-01T08:30:00Z, \"C1\"\n", MAPPED)
            .refused(&[(2, "the row has a blank before an opening quote")]),
        of("marks.csv", "\u{feff}CallID,Start\nC1,2026-03-01T08:30:00Z\n\u{feff}CallID,Start\n\u{feff}C2,2026-03-01T08:31:00Z\n", AT_ONCE)
            .calls(TWO)
            .left_out(1),
        of("header-in-capitals.csv", "CallID,From,,\nC1,a,,\nCALLID,FROM\n", &["--map", "callSid=CallID", "--set", "occurredAt=2026-03-01T08:30:00Z"])
            .left_out(1)
            .calls(ONE),
        of("cut-array.json", "[{\"Id\":\"C1\",\"Start\":1772353800},\n{\"Id\":\"C2\",\"Start\":1772353860},", MAPPED)
            .calls(TWO)
            .refused(&[(2, "the JSON array is not closed")]),
        of("zero-byte.csv", "Id,Start,x\nC1,2026-03-01T08:30:00Z,a\0b\nC2,2026-03-01T08:31:00Z,c\n", MAPPED).calls(TWO),
        of("private-characters.ndjson", "{\"callSid\":\"\u{10f741}\u{10f742}\",\"occurredAt\":1772353800}\n{\"callSid\":\"AB\",\"occurredAt\":1772353800}\n", &[])
            .calls(&[
                ("\u{10f741}\u{10f742}", "2026-03-01T08:30:00.000000Z"),
                ("AB", "2026-03-01T08:30:00.000000Z"),
            ]),
        of("private-characters.csv", "Id,Start\n\u{10f741},2026-03-01T08:30:00Z\n", MAPPED)
            .calls(&[("\u{10f741}", "2026-03-01T08:30:00.000000Z")]),
        of("blank-time.ndjson", "{\"callSid\":\"C1\",\"occurredAt\":\" \"}\n", &[]).refused(&[(1, "the row has no occurredAt")]),
        of("two-documents.xml", "<cdr><variables><uuid>C1</uuid><start_epoch>1772353800</start_epoch><start_uepoch>1772353800000000</start_uepoch><answer_epoch>1</answer_epoch></variables></cdr><cdr><variables><uuid>C2</uuid><start_epoch>1772353860</start_epoch></variables></cdr>", &["--sender", "freeswitch-xml"])
            .refused(&[(1, "the XML has more than one document")]),
        // Bytes of a sender's records are kept as over HTTP, in what is not read as well.
        of("names-in-any-bytes.csv", [&b"\"C1\",\"2026-03-01 08:30:00\",\"\",\"J\xe9r\xf4me\",\"0\"\n\"C2\",\"2026-03-01 08:31:00\",\"\",\""[..], "Zoé\",\"0\"\n".as_bytes()].concat(), &["--sender", "freeswitch-csv"])
            .calls(TWO),
        of("padded.xml", "<cdr><variables><uuid>abc%20</uuid><start_epoch>1772353800</start_epoch></variables></cdr>", &["--sender", "freeswitch-xml"])
            .calls(&[("abc ", "2026-03-01T08:30:00.000000Z")]),
    ]
}

/// JSON, and the records of senders.
fn records() -> Vec<CarrierFile> {
    vec![
        of("array.json", "[{\"Id\":\"C1\",\"Start\":\"2026-03-01T08:30:00Z\"},\n {\"Id\":\"C2\",\"Start\":1772353860}]", MAPPED)
            .understood("callSid from \"Id\", occurredAt from \"Start\", 2 rows")
            .calls(TWO),
        of("pretty.json", format!("{:#}\n{:#}\n", json!({"Id": "C1", "Start": "2026-03-01T08:30:00Z"}), json!({"Id": "C2", "Start": "2026-03-01T08:31:00Z"})), MAPPED)
            .calls(TWO),
        of("nested.jsonl", "{\"data\":{\"id\":\"C1\",\"at\":\"2026-03-01T08:30:00Z\"}}\n{\"data\":1}\n", &[
            "--map", "callSid=/data/id", "--map", "occurredAt=/data/at",
        ])
        .calls(ONE)
        .refused(&[(2, "callSid is not given at /data/id")]),
        of("broken-item.json", "[{\"Id\":\"C1\",\"Start\":1772353800},\n{\"Id\":tru},\n{\"Id\":\"C2\",\"Start\":1772353860}]", MAPPED)
            .calls(TWO)
            .refused(&[(2, "JSON")]),
        of("utf-16.json", utf16("\u{feff}{\"Id\":\"C1\",\"Start\":1772353800}", u16::to_le_bytes), MAPPED)
            .understood("UTF-16LE, ")
            .calls(ONE),
        of("Master.csv", "\"\",\"2001\",\"2002\",\"internal\",\"\"\"Alice\"\" <2001>\",\"PJSIP/2001-1\",\"PJSIP/2002-2\",\"Dial\",\"PJSIP/2002,30\",\"2026-03-01 08:30:00\",\"2026-03-01 08:30:04\",\"2026-03-01 08:30:42\",42,38,\"ANSWERED\",\"DOCUMENTATION\",\"C1\",\"\"\n\"\",\"2001\",\"2002\",\"internal\",\"2001\",\"PJSIP/2001-1\",\"\",\"Dial\",\"\",\"2026-03-01 08:31:00\",\"\",\"2026-03-01 08:31:30\",30,0,\"NO ANSWER\",\"DOCUMENTATION\",\"C2\",\"\"\n", &[
            "--sender", "asterisk-csv", "--answered",
        ])
        .understood("separator ,, no header, sender asterisk-csv, 2 rows")
        .calls(ONE)
        .left_out(1),
        of("cdr_Cluster_01_202603010830_1", "\"cdrRecordType\",\"globalCallID_callManagerId\",\"globalCallID_callId\",\"dateTimeOrigination\",\"dateTimeConnect\",\"globalCallId_ClusterID\"\nINTEGER,INTEGER,INTEGER,INTEGER,INTEGER,VARCHAR(50)\n1,2,4711,1772353800,1772353804,Cluster\n", &[
            "--sender", "cucm", "--answered",
        ])
        .understood("separator ,, sender cucm, 2 rows")
        .calls(&[("Cluster-2-4711", "2026-03-01T08:30:00.000000Z")])
        .left_out(1),
        of("calls.json", json!({"page": 0, "calls": [
            {"sid": "C1", "status": "completed", "start_time": "Sun, 01 Mar 2026 08:30:00 +0000"},
            {"sid": "C3", "status": "in-progress", "start_time": "Sun, 01 Mar 2026 08:30:00 +0000"},
            {"sid": "C2", "status": "completed", "start_time": "Sun, 01 Mar 2026 08:31:00 +0000"},
        ]}).to_string(), &["--sender", "twilio-api"])
        .understood("sender twilio-api, 1 row")
        .calls(TWO)
        .left_out(1),
        of("a.cdr.xml", "<?xml version=\"1.0\"?>\n<cdr core-uuid=\"c\"><channel_data><state>CS_REPORTING</state></channel_data><variables><uuid>C1</uuid><start_epoch>1772353800</start_epoch><start_uepoch>1772353800000000</start_uepoch><billsec>42</billsec></variables></cdr>", &["--sender", "freeswitch-xml"])
            .calls(ONE),
    ]
}

#[tokio::test]
async fn each_file_of_a_carrier_or_a_pbx_is_read_as_it_is_meant() {
    let database = Database::sqlite();
    database.migrate();
    let files = Files::new();
    let all = [
        separators(),
        encodings(),
        times(),
        headers(),
        records(),
        traps(),
    ];
    let all: Vec<_> = all.into_iter().flatten().collect();
    assert!(all.len() >= 40, "{}", all.len());
    for file in all {
        let path = files.path(file.name);
        std::fs::write(&path, &file.bytes).unwrap();
        let account = format!("accountId={}", file.name);
        let refused = files.path("refused.ndjson");
        let given = [
            "import",
            &path,
            "--set",
            &account,
            "--set",
            "customerId=cus",
            "--refused",
            &refused,
        ];
        let (code, counts, errors) = call(&database, &[&given[..], file.flags].concat());
        let what = format!("{}: {counts}{errors}", file.name);
        assert_eq!(code, i32::from(!file.refused.is_empty()), "{what}");
        let understood = errors.lines().next().unwrap_or_default();
        let understood = understood.strip_prefix(&format!("{path}: ")).expect(&what);
        assert!(understood.starts_with(file.understood), "{what}");
        assert!(
            counts.contains(&format!("new {}, ", file.calls.len())),
            "{what}"
        );
        assert!(
            counts.contains(&format!("left out {}, ", file.left_out)),
            "{what}"
        );
        let exported = output(&database, &["export", "--account", file.name]);
        let mut stored: Vec<_> = exported
            .lines()
            .map(|line| {
                let row: Value = serde_json::from_str(line).unwrap();
                let text = |name: &str| row[name].as_str().unwrap().to_owned();
                (text("callSid"), text("occurredAt"))
            })
            .collect();
        stored.sort();
        let mut calls: Vec<_> = file
            .calls
            .iter()
            .map(|(id, at)| ((*id).to_owned(), (*at).to_owned()))
            .collect();
        calls.sort();
        assert_eq!(stored, calls, "{what}");
        let rows: Vec<Value> = std::fs::read_to_string(&refused)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(rows.len(), file.refused.len(), "{what} {rows:?}");
        for (row, (line, reason)) in rows.iter().zip(file.refused) {
            assert_eq!(row["line"], json!(line), "{what} {row}");
            assert!(
                row["reason"].as_str().unwrap().contains(reason),
                "{what} {row}"
            );
        }
    }
}

on_both_databases!(
    a_row_with_a_known_id_and_another_time_is_no_repeat,
    async |database: Database| {
        let server = Server::start(&database).await;
        let reply = server.client().report(&report("A", "c", "CA1", 0)).await;
        assert_eq!(reply.status, 201);
        let files = Files::new();
        let file = files.with(
            "calls.csv",
            "callSid,occurredAt\nCA1,2026-03-01T09:00:00Z\nCA1,2026-03-01T10:00:00Z\nCA2,2026-03-01T09:00:00Z\nCA2,2026-03-01T09:00:01Z\n",
        );
        let set = ["--set", "accountId=A", "--set", "customerId=c"];
        for (flags, new) in [(&["--dry-run"][..], 1), (&[], 1), (&[], 0)] {
            let (code, counts, errors) =
                call(&database, &[&["import", &file], &set[..], flags].concat());
            let counts = counts.trim_start_matches("dry run: ").trim_end();
            let expected = format!(
                "new {new}, already stored {}, other time 2, voided 0, left out 0, refused 0",
                2 - new
            );
            assert_eq!((code, counts), (1, &*expected), "{errors}");
            for line in [3, 5] {
                assert!(
                    errors.contains(&format!(
                        "{file}:{line}: the billable with this id occurred at"
                    )),
                    "{errors}"
                );
            }
            assert!(
                errors.contains("2 row(s) have an id that is stored with another time"),
                "{errors}"
            );
        }
        // A row without a time is a repeat, whenever it is imported.
        let timeless = files.with("timeless.csv", "callSid\nCA1\n");
        let (code, counts, errors) = call(&database, &[&["import", &timeless], &set[..]].concat());
        assert!(
            code == 0 && counts.contains("already stored 1"),
            "{counts} {errors}"
        );
    }
);

on_both_databases!(
    a_fresh_export_is_complete_to_check_and_known_to_import,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        for (minute, id) in ["+39", "=1+1", "-x", "''", " padded ", "CA1"]
            .into_iter()
            .enumerate()
        {
            let minute = u32::try_from(minute).unwrap();
            assert_eq!(
                client.report(&report("A", "c", id, minute)).await.status,
                201
            );
        }
        let files = Files::new();
        let file = files.path("fresh.csv");
        let said = output(&database, &["export", "--output", &file]);
        assert!(said.starts_with("exported 6 rows"), "{said}");
        assert!(std::fs::read_to_string(&file).unwrap().contains(",'+39,"));
        let range = [
            "--account",
            "A",
            "--from",
            "2026-03-01T00:00:00Z",
            "--to",
            "2026-03-02T00:00:00Z",
        ];
        let check = |file: &str, flags: &[&str]| {
            let (code, found, _) = call(&database, &[&["check", file], &range[..], flags].concat());
            (code, found)
        };
        assert_eq!(
            check(&file, &[]),
            (0, "calls 6, missing 0, extra 0, voided 0\n".to_owned())
        );
        // Blanks around an id do not count, on either side.
        let padded = "callSid\n+39  \n=1+1\n-x\n'''\npadded\nCA1\nCA9  \n";
        let padded = files.with("padded.csv", padded);
        let missing = "missing \"CA9  \"\ncalls 7, missing 1, extra 0, voided 0\n".to_owned();
        assert_eq!(check(&padded, &[]), (1, missing));
        let (_, found) = check(&padded, &["--no-trim"]);
        assert!(
            found.contains("missing \"+39  \"\n") && found.contains("extra \" padded \""),
            "{found}"
        );
        // Read as reports, it would lose its ids, keys and voids.
        let arguments = ["import", &file, "--set", "accountId=A", "--no-trim"];
        let (code, counts, errors) = call(&database, &arguments);
        assert!(
            code == 1
                && counts.contains("refused 6")
                && errors.contains("is a billable of an export"),
            "{counts} {errors}"
        );
        // Posted, it is the same calls.
        let text = std::fs::read_to_string(&file).unwrap();
        let reply = crate::support::client::send(
            client
                .post("/billables")
                .header("content-type", "text/csv")
                .body(text),
        )
        .await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
);

#[tokio::test]
async fn what_a_command_says_about_a_file_tells_the_way_out() {
    let database = Database::sqlite();
    let _server = Server::start(&database).await;
    let files = Files::new();
    let file = files.with("calls.csv", "Call;Start\nC1;2026-10-25 02:30:00\n");
    let said = |flags: &[&str]| {
        let (code, _, errors) = call(&database, &[&["import", &file], flags].concat());
        (code, errors)
    };
    let (code, errors) = said(&["--map", "callSid=Id"]);
    assert_eq!(code, 2);
    assert!(
        errors.contains("there is no column \"Id\"; the columns are \"Call\", \"Start\""),
        "{errors}"
    );
    let set = [
        "--set",
        "accountId=A",
        "--set",
        "customerId=c",
        "--map",
        "callSid=Call",
        "--map",
        "occurredAt=Start",
    ];
    let (code, errors) = said(&[&set[..], &["--time-zone", "Europe/Rome"]].concat());
    assert_eq!(code, 0, "{errors}");
    assert!(
        errors.contains("1 row(s) have a local time that the clocks of the time zone show twice"),
        "{errors}"
    );
    for (flags, reason) in [
        (
            &["--time-zone", "Europe/Atlantis"][..],
            "there is no time zone",
        ),
        (&["--time-format", "%Q"], "the time format \"%Q\" must be"),
        (&["--encoding", "utf-7"], "must be an encoding such as"),
        (&["--separator", "ab"], "must be one character such as"),
        (
            &["--sender", "nobody"],
            "there is no sender nobody; there are 3cx",
        ),
        (
            &["--sender", "twilio"],
            "the profile of the sender twilio does not read CSV",
        ),
        (&["--where", "Kind=1"], "there is no column \"Kind\""),
        (&["--where", "Call"], "must be AT=VALUE"),
    ] {
        let (code, errors) = said(&[&set[..4], flags].concat());
        assert!(code == 2 && errors.contains(reason), "{flags:?}: {errors}");
    }
    let unclear = files.with("unclear.csv", "C1;Rome, Italy\nC2;Paris, France\n");
    let (code, _, errors) = call(
        &database,
        &["import", &unclear, "--no-header", "--map", "callSid=1"],
    );
    assert!(
        code == 1 && errors.contains("both , and ; could separate its cells"),
        "{errors}"
    );
    // What cannot be told from the name.
    let nameless = files.with("calls", "x");
    let (code, _, errors) = call(&database, &["import", &nameless]);
    assert!(code == 2 && errors.contains("set --format"), "{errors}");
    let (code, _, errors) = call(&database, &["export", "--output", &files.path("out.txt")]);
    assert!(code == 2 && errors.contains("set --format"), "{errors}");
    let range = [
        "--account",
        "A",
        "--from",
        "2026-03-01T00:00:00Z",
        "--to",
        "2026-03-02T00:00:00Z",
    ];
    let (code, _, errors) = call(&database, &[&["check", &file], &range[..]].concat());
    assert!(
        code == 2 && errors.contains("there is no column \"callSid\"; the columns are"),
        "{errors}"
    );
}

on_both_databases!(
    an_own_export_keeps_its_voids_whatever_rows_are_wanted,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        for (minute, id) in ["V1", "H1"].into_iter().enumerate() {
            let minute = u32::try_from(minute).unwrap();
            assert_eq!(
                client.report(&report("A", "c", id, minute)).await.status,
                201
            );
        }
        let keyed = client.report_keyed("k", &report("A", "d", "H1", 2)).await;
        assert_eq!(keyed.status, 201);
        let voided = client.get("/billables?callSid=V1").await.json()["items"][0]["id"].clone();
        crate::import_export::void(&client, voided.as_str().unwrap(), "a test").await;
        let files = Files::new();
        let file = files.path("own.csv");
        output(&database, &["export", "--output", &file]);
        let again = output(&database, &["import", &file, "--where", "customerId=c"]);
        assert_eq!(
            again,
            "new 0, already stored 2, other time 0, voided 0, left out 1, refused 0\n"
        );
        let other = Database::sqlite().migrated();
        let copied = output(&other, &["import", &file, "--where", "customerId=c"]);
        assert_eq!(
            copied,
            "new 2, already stored 0, other time 0, voided 1, left out 1, refused 0\n"
        );
        assert_eq!(
            output(&other, &["export", "--state", "voided"])
                .lines()
                .count(),
            1
        );
    }
);

#[tokio::test]
async fn no_file_is_replaced_by_the_refused_rows_but_that_of_an_earlier_import() {
    let database = Database::sqlite();
    let _server = Server::start(&database).await;
    let files = Files::new();
    let text = "callSid,accountId,customerId\nC1,A,c\nC2,A,\n";
    let file = files.with("calls.csv", text);
    let other = files.with("other.txt", "of somebody else\n");
    for kept in [&file, &other] {
        let (code, _, errors) = call(&database, &["import", &file, "--refused", kept]);
        assert!(
            code == 2 && errors.contains("is not the file of an earlier import"),
            "{errors}"
        );
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    assert_eq!(
        std::fs::read_to_string(&other).unwrap(),
        "of somebody else\n"
    );
    let refused = files.path("refused.ndjson");
    for _ in 0..2 {
        assert_eq!(
            call(&database, &["import", &file, "--refused", &refused]).0,
            1
        );
    }
    // Nothing is stored if a later file cannot be read.
    let more = files.with("more.csv", "callSid,accountId,customerId\nC9,A,c\n");
    let (code, _, _) = call(&database, &["import", &more, &files.path("nowhere.csv")]);
    assert_eq!(code, 1);
    let exported = output(&database, &["export", "--call", "C9"]);
    assert_eq!(exported, "");
}
