//! Writes a dataset with its made slices (by condition and by corruption) to a CSV file of its own, which
//! needs the secret no more.

use std::fs::Permissions;
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::error::{DataError, io_error};
use crate::file::DatasetFile;
use crate::format;
use crate::options::ReadOptions;
use crate::source::{Source, View};
use crate::summary::Summary;

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Written {
    /// Source records.
    pub records: u64,
    /// Rows written.
    pub rows: u64,
}

/// Reads `input` and writes a CSV file of all views of the slices that `options` make; with `keep` the
/// views of the slices in the file too. `progress` is called after each record with their number. The file appears once
/// it is whole.
///
/// # Errors
/// What [`crate::open_with`] refuses; features that are no image of the stated width and range; an
/// existing or unwritable output file.
pub fn write(
    input: &Path,
    output: &Path,
    options: &ReadOptions,
    keep: bool,
    secret: &[u8; 32],
    mut progress: impl FnMut(u64, u64),
) -> Result<Written, DataError> {
    let taken = || DataError::Taken {
        path: output.to_owned(),
    };
    if output.symlink_metadata().is_ok() {
        return Err(taken());
    }
    let file = DatasetFile::open(input, options)?;
    let summary = file.summary().clone();
    let attributes: Vec<String> = file.profile().attributes.iter().map(|a| a.name.clone()).collect();
    let records = file.records_with(secret)?;
    let columns = columns(input, options, &summary)?;
    let unfinished = tempfile::Builder::new()
        .prefix(".")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(output.parent().unwrap_or(Path::new("")))
        .map_err(|e| io_error(output, "create", e))?;
    let mut out = BufWriter::new(unfinished);
    let failed = |e| io_error(output, "write", e);
    let extra: String = attributes
        .iter()
        .map(|name| format!("{},", quoted(&format!("attr.{name}"))))
        .collect();
    writeln!(out, "record_id,slice,label,group,{extra}{columns}").map_err(failed)?;
    let mut written = Written { records: 0, rows: 0 };
    for source in records {
        let source = source?;
        let wanted = |slice: &&String| keep || !summary.file_slices.contains(slice);
        for slice in source.views.keys().filter(wanted) {
            write_row(&mut out, &source, slice, &attributes).map_err(failed)?;
            written.rows += 1;
        }
        written.records += 1;
        progress(written.records, summary.records);
    }
    let whole = out.into_inner().map_err(|e| failed(e.into_error()))?;
    whole.as_file().sync_all().map_err(failed)?;
    match whole.persist_noclobber(output) {
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Err(taken()),
        Err(error) => Err(failed(error.error)),
        Ok(_) => Ok(written),
    }
}

/// The columns of a view: those of a table by their names, those of images by number.
fn columns(input: &Path, options: &ReadOptions, summary: &Summary) -> Result<String, DataError> {
    if summary.text {
        return Ok("text".to_owned());
    }
    let rows = format::open(input, options)?;
    let columns = rows.columns();
    let named = columns
        .features
        .iter()
        .filter_map(|(at, _)| columns.names.get(*at));
    let mut names: Vec<String> = named.map(|name| quoted(name)).collect();
    if names.is_empty() {
        names.extend((0..summary.features).map(|at| format!("x{at}")));
    }
    Ok(names.join(","))
}

fn write_row(
    out: &mut impl Write,
    source: &Source,
    slice: &str,
    attributes: &[String],
) -> std::io::Result<()> {
    let values = match source.views.get(slice) {
        Some(View::Text(text)) => quoted(text),
        Some(View::Numbers(numbers)) => numbers.iter().map(f32::to_string).collect::<Vec<_>>().join(","),
        None => String::new(),
    };
    let text = |value: Option<&String>| value.map(|v| quoted(v)).unwrap_or_default();
    let extra = attributes
        .iter()
        .map(|name| text(source.attributes.get(name)) + ",");
    let extra: String = extra.collect();
    let (id, label) = (quoted(&source.record_id), quoted(&source.target.to_string()));
    writeln!(
        out,
        "{id},{slice},{label},{},{extra}{values}",
        text(source.group.as_ref())
    )
}

/// Quotes a value where CSV asks for it.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{CorruptionRule, Range};

    fn options() -> ReadOptions {
        let rule = |slice: &str, operator: &str| CorruptionRule {
            slice: slice.into(),
            operator: operator.into(),
            severity: 3,
        };
        ReadOptions {
            corruptions: vec![rule("blur", "blur"), rule("sensor-noise", "noise")],
            range: Some(Range { low: 0.0, high: 16.0 }),
            ..ReadOptions::default()
        }
    }

    fn input(dir: &Path, rows: &[usize]) -> std::path::PathBuf {
        let path = dir.join("in.csv");
        let names: Vec<String> = (0..64).map(|at| format!("pixel {at}")).collect();
        let mut text = format!("record_id,label,{}\n", names.join(","));
        for row in rows {
            let values: Vec<String> = (0..64).map(|at| ((at + row) % 17).to_string()).collect();
            text.push_str(&format!("\"r,{row}\",3,{}\n", values.join(",")));
        }
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn every_record_gets_every_view_and_the_file_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out.csv");
        let made = write(
            &input(dir.path(), &[0, 1, 2]),
            &out,
            &options(),
            true,
            &[7; 32],
            |_, _| (),
        )
        .unwrap();
        assert_eq!(made, Written { records: 3, rows: 9 });
        let file = crate::open(&out).unwrap();
        assert_eq!(file.summary().slices, ["blur", "clean", "sensor-noise"]);
        assert_eq!(file.records().unwrap().next().unwrap().unwrap().record_id, "r,0");
        let text = std::fs::read_to_string(&out).unwrap();
        assert!(
            text.starts_with("record_id,slice,label,group,pixel 0,pixel 1,"),
            "{text}"
        );
    }

    #[test]
    fn what_fails_leaves_nothing_and_what_is_there_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (path, out) = (input(dir.path(), &[0]), dir.path().join("out.csv"));
        let views =
            |options: &ReadOptions| write(&path, &out, options, true, &[7; 32], |_, _| ()).unwrap_err();
        let unstated = ReadOptions {
            range: None,
            ..options()
        };
        assert!(matches!(views(&unstated), DataError::Image { .. }));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        std::fs::write(&out, "kept").unwrap();
        let refused = views(&options()).to_string();
        assert!(refused.contains("choose another --out"), "{refused}");
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "kept");
    }

    #[test]
    fn a_records_views_depend_on_that_record_alone() {
        let dir = tempfile::tempdir().unwrap();
        let view_of = |rows: &[usize], name: &str, secret: u8| {
            let out = dir.path().join(name);
            write(
                &input(dir.path(), rows),
                &out,
                &options(),
                true,
                &[secret; 32],
                |_, _| (),
            )
            .unwrap();
            let mut sources = crate::records(&out).unwrap().map(Result::unwrap);
            sources.find(|s| s.record_id == "r,2").unwrap()
        };
        let together = view_of(&[0, 1, 2], "a.csv", 7);
        assert_eq!(together, view_of(&[2, 5], "b.csv", 7));
        assert_ne!(together, view_of(&[0, 1, 2], "c.csv", 8));
    }

    #[test]
    fn a_wrong_range_or_width_says_what_to_state() {
        let dir = tempfile::tempdir().unwrap();
        let path = input(dir.path(), &[0]);
        let refused = |options: &ReadOptions| {
            let out = dir.path().join("a.csv");
            write(&path, &out, options, true, &[7; 32], |_, _| ())
                .unwrap_err()
                .to_string()
        };
        let mut wrong = options();
        wrong.range = Some(Range { low: 0.0, high: 1.0 });
        assert!(refused(&wrong).contains("--range"), "{}", refused(&wrong));
        wrong = options();
        wrong.image.width = Some(7);
        assert!(refused(&wrong).contains("--width"), "{}", refused(&wrong));
    }
}
