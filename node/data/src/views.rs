//! Makes the views of a dataset's records: the clean one and its corruptions (`fl::corrupt`), keyed by
//! the record and a local secret, so that a view depends on its record alone.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use fieldmark_fl::corrupt::{self, Frame, Operator, RecordKey};

use crate::csv_file::io_error;
use crate::error::DataError;
use crate::file::DatasetFile;
use crate::source::{self, Source};

/// The slice that views are made of.
pub const CLEAN: &str = "clean";

/// One corrupted view to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Name of its slice.
    pub slice: String,
    /// What is done to the clean view.
    pub operator: Operator,
    /// How much, 1 to 5.
    pub severity: u8,
}

/// What to make.
#[derive(Debug, Clone)]
pub struct ViewOptions {
    /// The corrupted views.
    pub views: Vec<View>,
    /// Whether the clean view is written too.
    pub clean: bool,
    /// Width of the images; `None`: they are square.
    pub width: Option<usize>,
    /// Top of the range of a feature.
    pub max: f32,
}

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Written {
    /// Source records.
    pub records: u64,
    /// Rows written.
    pub rows: u64,
}

/// Reads the clean views of `input` and writes a CSV file of all views asked for. A file without a
/// slice column is all clean. `progress` is called after each record with their number.
///
/// # Errors
/// What [`crate::open`] refuses; features that are no image of the stated width and range; an existing
/// or unwritable output file.
pub fn write(
    input: &Path,
    output: &Path,
    options: &ViewOptions,
    secret: &[u8; 32],
    mut progress: impl FnMut(u64, u64),
) -> Result<Written, DataError> {
    let file = DatasetFile::open(input, Some(CLEAN))?;
    file.check_slices([CLEAN])?;
    let (features, total) = (file.summary().features, file.summary().records);
    let image = Image::new(input, features, options)?;
    let made = File::create_new(output).map_err(|e| io_error(output, "create", e))?;
    let mut out = BufWriter::new(made);
    let failed = |e| io_error(output, "write", e);
    writeln!(out, "record_id,slice,label,{}", header(features)).map_err(failed)?;
    let mut written = Written { records: 0, rows: 0 };
    for source in file.records()? {
        let source = source?;
        for (slice, pixels) in image.views_of(&source, options, secret)? {
            write_row(&mut out, &source, &slice, &pixels).map_err(failed)?;
            written.rows += 1;
        }
        written.records += 1;
        progress(written.records, total);
    }
    let made = out.into_inner().map_err(|e| failed(e.into_error()))?;
    made.sync_all().map_err(failed)?;
    Ok(written)
}

fn header(features: u64) -> String {
    (0..features)
        .map(|at| format!("x{at}"))
        .collect::<Vec<_>>()
        .join(",")
}

fn write_row(out: &mut impl Write, source: &Source, slice: &str, pixels: &[f32]) -> std::io::Result<()> {
    let values: Vec<String> = pixels.iter().map(f32::to_string).collect();
    let (id, label) = (quoted(&source.record_id), quoted(&source.target.to_string()));
    writeln!(out, "{id},{slice},{label},{}", values.join(","))
}

/// Quotes a value where CSV asks for it.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// The shape of every record.
struct Image<'p> {
    path: &'p Path,
    width: usize,
    height: usize,
}

impl<'p> Image<'p> {
    fn new(path: &'p Path, features: u64, options: &ViewOptions) -> Result<Self, DataError> {
        let fail = |detail: String| DataError::Image {
            path: path.to_owned(),
            detail,
        };
        let features = usize::try_from(features).unwrap_or(usize::MAX);
        let width = options.width.unwrap_or_else(|| features.isqrt());
        let height = features.checked_div(width).unwrap_or(0);
        if width == 0 || width.checked_mul(height) != Some(features) {
            let detail =
                format!("{features} features are no image of width {width}; state the width with --width");
            return Err(fail(detail));
        }
        Ok(Self { path, width, height })
    }

    /// All views of one record, the clean one first.
    fn views_of(
        &self,
        source: &Source,
        options: &ViewOptions,
        secret: &[u8; 32],
    ) -> Result<Vec<(String, Vec<f32>)>, DataError> {
        let clean = source.views.get(CLEAN).and_then(source::View::numbers);
        let clean = clean.unwrap_or_default().to_vec();
        let max = options.max;
        if let Some(outside) = clean.iter().find(|pixel| **pixel < 0.0 || **pixel > max) {
            let (path, record) = (self.path.to_owned(), &source.record_id);
            let detail = format!(
                "record '{record}' has a value of {outside}, outside 0 to {max}; state the top of the range with --max"
            );
            return Err(DataError::Image { path, detail });
        }
        let key = RecordKey {
            secret,
            record_id: source.record_id.as_bytes(),
        };
        let mut views = Vec::new();
        for view in &options.views {
            let mut pixels = clean.clone();
            let frame = Frame {
                pixels: &mut pixels,
                width: self.width,
                height: self.height,
                channels: 1,
                max,
            };
            corrupt::apply(view.operator, frame, view.severity, &key).map_err(|error| {
                DataError::Corrupt {
                    path: self.path.to_owned(),
                    record: source.record_id.clone(),
                    source: error,
                }
            })?;
            views.push((view.slice.clone(), pixels));
        }
        if options.clean {
            views.insert(0, (CLEAN.to_owned(), clean));
        }
        Ok(views)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> ViewOptions {
        let view = |slice: &str, operator| View {
            slice: slice.into(),
            operator,
            severity: 3,
        };
        let views = vec![
            view("blur", Operator::Blur),
            view("sensor-noise", Operator::SensorNoise),
        ];
        ViewOptions {
            views,
            clean: true,
            width: None,
            max: 16.0,
        }
    }

    fn input(dir: &Path, rows: &[usize]) -> std::path::PathBuf {
        let path = dir.join("in.csv");
        let mut text = format!("record_id,label,{}\n", header(64));
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
            &[7; 32],
            |_, _| (),
        )
        .unwrap();
        assert_eq!(made, Written { records: 3, rows: 9 });
        let file = crate::open(&out).unwrap();
        assert_eq!(file.summary().slices, ["blur", "clean", "sensor-noise"]);
        assert_eq!(file.records().unwrap().next().unwrap().unwrap().record_id, "r,0");
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
        let mut wrong = options();
        wrong.max = 1.0;
        let error = write(&path, &dir.path().join("a.csv"), &wrong, &[7; 32], |_, _| ()).unwrap_err();
        assert!(error.to_string().contains("--max"), "{error}");
        wrong.width = Some(7);
        let error = write(&path, &dir.path().join("b.csv"), &wrong, &[7; 32], |_, _| ()).unwrap_err();
        assert!(error.to_string().contains("--width"), "{error}");
    }
}
