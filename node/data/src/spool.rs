//! Rows as bytes, for temporary files that no other process reads: no version, no golden bytes.

use std::io;

use crate::error::Place;
use crate::row::Row;
use crate::source::{Preference, Target, View};

pub(crate) fn encode(row: &Row) -> Vec<u8> {
    let mut out = Vec::new();
    let (kind, number) = match row.place {
        Place::Line(line) => (0, line),
        Place::Row(number) => (1, number),
    };
    out.push(kind);
    out.extend(number.to_le_bytes());
    text(&mut out, Some(&row.record_id));
    text(&mut out, Some(&row.slice));
    match &row.target {
        Target::Class(label) => {
            out.push(0);
            text(&mut out, Some(label));
        }
        Target::Value(value) => {
            out.push(1);
            out.extend(value.to_le_bytes());
        }
        Target::Preference(preference) => out.push(match preference {
            Preference::A => 2,
            Preference::B => 3,
            Preference::Tie => 4,
        }),
    }
    text(&mut out, row.group.as_deref());
    out.extend((row.attributes.len() as u64).to_le_bytes());
    for attribute in &row.attributes {
        text(&mut out, attribute.as_deref());
    }
    match &row.view {
        View::Text(words) => {
            out.push(0);
            text(&mut out, Some(words));
        }
        View::Numbers(numbers) => {
            out.push(1);
            out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
    }
    out
}

fn text(out: &mut Vec<u8>, text: Option<&str>) {
    out.extend(text.map_or(u64::MAX, |t| t.len() as u64).to_le_bytes());
    out.extend(text.unwrap_or_default().as_bytes());
}

pub(crate) fn decode(bytes: &[u8]) -> io::Result<Row> {
    let mut left = Left(bytes);
    let line = left.byte()? == 0;
    let number = u64::from_le_bytes(left.take()?);
    let place = if line {
        Place::Line(number)
    } else {
        Place::Row(number)
    };
    let (record_id, slice) = (left.needed()?, left.needed()?);
    let target = match left.byte()? {
        0 => Target::Class(left.needed()?),
        1 => Target::Value(f64::from_le_bytes(left.take()?)),
        2 => Target::Preference(Preference::A),
        3 => Target::Preference(Preference::B),
        _ => Target::Preference(Preference::Tie),
    };
    let group = left.text()?;
    let count = u64::from_le_bytes(left.take()?);
    let attributes = (0..count).map(|_| left.text()).collect::<io::Result<_>>()?;
    let view = if left.byte()? == 0 {
        View::Text(left.needed()?)
    } else {
        let (words, _) = left.0.as_chunks::<4>();
        View::Numbers(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
    };
    Ok(Row {
        place,
        record_id,
        slice,
        target,
        group,
        attributes,
        view,
    })
}

struct Left<'b>(&'b [u8]);

impl Left<'_> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or_else(broken)?;
        self.0 = tail;
        Ok(*head)
    }

    fn byte(&mut self) -> io::Result<u8> {
        let [byte] = self.take()?;
        Ok(byte)
    }

    fn text(&mut self) -> io::Result<Option<String>> {
        let length = u64::from_le_bytes(self.take()?);
        if length == u64::MAX {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| broken())?;
        let (head, tail) = self.0.split_at_checked(length).ok_or_else(broken)?;
        self.0 = tail;
        String::from_utf8(head.to_vec()).map(Some).map_err(|_| broken())
    }

    fn needed(&mut self) -> io::Result<String> {
        self.text()?.ok_or_else(broken)
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the temporary copy is damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_were() {
        let row = Row {
            place: Place::Line(7),
            record_id: "r".to_owned(),
            slice: "clean".to_owned(),
            target: Target::Value(-0.5),
            group: None,
            attributes: vec![None, Some("Kiel".to_owned())],
            view: View::Numbers(vec![1.0, -2.5]),
        };
        let text = Row {
            place: Place::Row(0),
            target: Target::Preference(Preference::Tie),
            group: Some("a".to_owned()),
            view: View::Text("Grüße".to_owned()),
            ..row.clone()
        };
        for row in [row, text] {
            let bytes = encode(&row);
            assert_eq!(decode(&bytes).unwrap(), row);
            assert!(decode(&bytes[..20]).is_err());
        }
    }
}
