//! Folders of images: `FOLDER/LABEL/IMAGE`, or a `labels.csv` (or `metadata.csv`) with a column `file`
//! or `file_name` beside `label` and any of the other columns of a table.
//!
//! PNG, JPEG, BMP and WebP. Every image becomes the same shape: grey or colour, of the stated size or of
//! the first image's, scaled to the stated range. Links are refused and no path leaves the folder.
//! Orientation tags and transparency are ignored.

use std::fs;
use std::io::Cursor;
use std::path::{Component, Path, PathBuf};
use std::vec::IntoIter;

use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageFormat, ImageReader, Limits};

use crate::columns::{Cell, Columns};
use crate::csv_file::CsvRows;
use crate::error::{DataError, Place, io_error, shortened};
use crate::options::{ImageShape, Range, ReadOptions};
use crate::row::Row;
use crate::rows::Rows;
use crate::source::View;

/// Most bytes of an image as stored.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Longest side of an image as stored, in pixels.
const SIDE_MAX: u32 = 16_384;
/// Longest side that an image is scaled to, in pixels.
const SCALED_SIDE_MAX: usize = 4096;
/// Most memory for decoding an image.
const DECODED_BYTES_MAX: u64 = 256 << 20;
/// Most images of one label.
const IMAGES_MAX: usize = 5_000_000;
const METADATA: [&str; 2] = ["labels.csv", "metadata.csv"];
const COLUMNS: [&str; 2] = ["file", "file_name"];

/// The rows of a folder.
pub(crate) struct ImageRows {
    folder: PathBuf,
    list: List,
    shape: Shape,
    hasher: blake3::Hasher,
}

enum List {
    Labels {
        columns: Box<Columns>,
        labels: IntoIter<String>,
        label: String,
        files: IntoIter<String>,
        number: u64,
    },
    Table {
        table: Box<CsvRows>,
        column: &'static str,
    },
}

/// What every image becomes.
struct Shape {
    width: Option<usize>,
    height: Option<usize>,
    resize: bool,
    channels: Option<usize>,
    range: Range,
}

impl ImageRows {
    pub(crate) fn open(folder: &Path, options: &ReadOptions) -> Result<Self, DataError> {
        if let Some(channels) = options.image.channels.filter(|c| ![1, 3].contains(c)) {
            let detail = format!("images have 1 or 3 channels, not {channels}");
            return Err(DataError::options(folder, detail));
        }
        let (width, height) = (options.image.width, options.image.height);
        if width
            .into_iter()
            .chain(height)
            .any(|side| !(1..=SCALED_SIDE_MAX).contains(&side))
        {
            return Err(DataError::options(
                folder,
                "--size is 1x1 to 4096x4096".to_owned(),
            ));
        }
        let found = METADATA
            .iter()
            .map(|name| folder.join(name))
            .find(|path| path.is_file());
        let list = match found {
            Some(path) => table(&path, options)?,
            None => List::Labels {
                columns: Box::new(Columns::new(
                    folder,
                    vec!["file".into(), "label".into()],
                    options,
                    Some("file"),
                )?),
                labels: entries(folder, true)?.into_iter(),
                label: String::new(),
                files: Vec::new().into_iter(),
                number: 0,
            },
        };
        Ok(Self {
            folder: folder.to_owned(),
            list,
            shape: Shape {
                width,
                height,
                resize: width.is_some() && height.is_some(),
                channels: options.image.channels,
                range: options.range.unwrap_or(Range { low: 0.0, high: 1.0 }),
            },
            hasher: blake3::Hasher::new(),
        })
    }

    /// The next row without its image, and the image's path in the folder.
    fn listed(&mut self) -> Option<Result<(Row, String), DataError>> {
        match &mut self.list {
            List::Table { table, column } => {
                let row = table.next_row()?;
                let file = table.value(column).unwrap_or_default().trim().to_owned();
                Some(row.map(|row| (row, file)))
            }
            List::Labels {
                columns,
                labels,
                label,
                files,
                number,
            } => loop {
                if let Some(file) = files.next() {
                    let (path, place) = (format!("{label}/{file}"), Place::Row(*number));
                    *number += 1;
                    let cell = |at: usize| Cell::Text(if at == 0 { &path } else { label });
                    return Some(columns.row(place, cell, &mut []).map(|row| (row, path.clone())));
                }
                *label = labels.next()?;
                match entries(&self.folder.join(&*label), false) {
                    Ok(found) => *files = found.into_iter(),
                    Err(error) => return Some(Err(error)),
                }
            },
        }
    }

    fn view(&mut self, file: &str) -> Result<View, DataError> {
        let path = safe(&self.folder, file)?;
        let bytes = read(&path)?;
        self.hasher.update(&(file.len() as u64).to_le_bytes());
        self.hasher.update(file.as_bytes());
        self.hasher.update(blake3::hash(&bytes).as_bytes());
        self.shape.view(&path, decode(&path, &bytes)?)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let length = fs::metadata(path).map_err(|e| io_error(path, "open", e))?.len();
    if length > FILE_BYTES_MAX {
        let detail = format!("the image has {length} bytes, at most {FILE_BYTES_MAX} are read");
        return Err(bad(path, detail, "scale it down"));
    }
    fs::read(path).map_err(|e| io_error(path, "read", e))
}

fn table(path: &Path, options: &ReadOptions) -> Result<List, DataError> {
    let [file, file_name] = COLUMNS;
    match CsvRows::open(path, options, Some(file)) {
        Err(DataError::Missing { name, .. }) if name == file => Ok(List::Table {
            table: Box::new(CsvRows::open(path, options, Some(file_name))?),
            column: file_name,
        }),
        table => Ok(List::Table {
            table: Box::new(table?),
            column: file,
        }),
    }
}

/// The folders of labels, or the images of one label, sorted.
fn entries(folder: &Path, folders: bool) -> Result<Vec<String>, DataError> {
    let failed = |e| io_error(folder, "list", e);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let Ok(name) = entry.file_name().into_string() else {
            return Err(bad(&path, "its name is not UTF-8", "rename it"));
        };
        if name.starts_with('.') {
            continue;
        }
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_symlink() {
            return Err(bad(
                &path,
                "it is a link, which is not followed",
                "put the file itself there",
            ));
        }
        if folders != kind.is_dir() {
            if folders {
                continue;
            }
            return Err(bad(
                &path,
                "it is no image but a folder",
                "keep images directly in the folder of their label",
            ));
        }
        if names.len() >= IMAGES_MAX {
            let (path, what, limit) = (folder.to_owned(), "files in a folder", IMAGES_MAX as u64);
            return Err(DataError::TooMany { path, what, limit });
        }
        names.push(name);
    }
    names.sort_unstable();
    Ok(names)
}

/// The path of a file in the folder, if it stays in it and follows no link.
fn safe(folder: &Path, file: &str) -> Result<PathBuf, DataError> {
    let mut path = folder.to_owned();
    let parts: Vec<Component<'_>> = Path::new(file).components().collect();
    if parts.is_empty() || parts.iter().any(|part| !matches!(part, Component::Normal(_))) {
        let detail = format!("'{}' is no path inside the folder", shortened(file));
        return Err(bad(
            folder,
            detail,
            "name the image relative to the folder, without '..'",
        ));
    }
    for part in parts {
        path.push(part);
        let found = fs::symlink_metadata(&path).map_err(|_| {
            bad(
                &path,
                "there is no such image",
                "correct the path or remove the row",
            )
        })?;
        if found.is_symlink() {
            return Err(bad(
                &path,
                "it is a link, which is not followed",
                "put the file itself there",
            ));
        }
    }
    if path.is_file() {
        Ok(path)
    } else {
        Err(bad(&path, "it is no file", "name an image"))
    }
}

fn bad(path: &Path, detail: impl Into<Box<str>>, fix: &'static str) -> DataError {
    DataError::ImageFile {
        path: path.to_owned(),
        detail: detail.into(),
        fix,
    }
}

fn decode(path: &Path, bytes: &[u8]) -> Result<DynamicImage, DataError> {
    let wrong = |detail: String| {
        bad(
            path,
            detail,
            "save it again as PNG, JPEG, BMP or WebP, or remove it",
        )
    };
    let reader = || ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let guessed = reader().map_err(|e| wrong(e.to_string()))?;
    let taken = [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::Bmp,
        ImageFormat::WebP,
    ];
    if !guessed.format().is_some_and(|format| taken.contains(&format)) {
        return Err(wrong("it is no image of a known format".to_owned()));
    }
    let (width, height) = guessed
        .into_dimensions()
        .map_err(|e| wrong(format!("it cannot be read ({e})")))?;
    let too_large = u64::from(width) * u64::from(height) * 4 > DECODED_BYTES_MAX;
    if width > SIDE_MAX || height > SIDE_MAX || too_large {
        let detail = format!("it claims {width} × {height} pixels, more than is decoded");
        return Err(bad(path, detail, "scale it down"));
    }
    let mut reader = reader().map_err(|e| wrong(e.to_string()))?;
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(SIDE_MAX), Some(SIDE_MAX));
    limits.max_alloc = Some(2 * DECODED_BYTES_MAX);
    reader.limits(limits);
    reader
        .decode()
        .map_err(|e| wrong(format!("it cannot be read ({e})")))
}

impl Shape {
    fn view(&mut self, path: &Path, image: DynamicImage) -> Result<View, DataError> {
        let colour = if image.color().has_color() { 3 } else { 1 };
        let channels = *self.channels.get_or_insert(colour);
        let found = (usize_of(image.width()), usize_of(image.height()));
        let width = *self.width.get_or_insert(found.0);
        let height = *self.height.get_or_insert(found.1);
        if !self.resize && found != (width, height) {
            let detail = format!(
                "it has {} × {} pixels, the images before it {width} × {height}",
                found.0, found.1
            );
            return Err(bad(path, detail, "state the size that all become with --size"));
        }
        let planes: Vec<Vec<u16>> = if channels == 1 {
            let mut grey = image.to_luma16();
            if found != (width, height) {
                grey = imageops::resize(&grey, u32_of(width), u32_of(height), FilterType::Triangle);
            }
            vec![grey.into_raw()]
        } else {
            let mut colours = image.to_rgb16();
            if found != (width, height) {
                colours = imageops::resize(&colours, u32_of(width), u32_of(height), FilterType::Triangle);
            }
            let raw = colours.into_raw();
            (0..3)
                .map(|plane| raw.iter().skip(plane).step_by(3).copied().collect())
                .collect()
        };
        let Range { low, high } = self.range;
        let scaled = |value: u16| low + f32::from(value) / 65_535.0 * (high - low);
        Ok(View::Numbers(planes.into_iter().flatten().map(scaled).collect()))
    }
}

/// One picture as an input of a model: PNG, JPEG, BMP or WebP, scaled to `width` and `height` where they are given,
/// grey or colour as `channels` says, values in `range`. Planes come one after another.
///
/// # Errors
/// [`DataError`] naming the file and what is wrong with it.
pub fn picture(path: &Path, shape: ImageShape, range: Range) -> Result<Picture, DataError> {
    let (width, height) = (shape.width, shape.height);
    let mut sides = width.into_iter().chain(height);
    if sides.any(|side| !(1..=SCALED_SIDE_MAX).contains(&side)) {
        let detail = format!("no image is scaled to a side that is not 1 to {SCALED_SIDE_MAX} pixels");
        return Err(bad(path, detail, "give the model numbers in place of a picture"));
    }
    let resize = width.is_some() && height.is_some();
    let mut shape = Shape {
        width,
        height,
        resize,
        channels: shape.channels,
        range,
    };
    let bytes = read(path)?;
    let view = shape.view(path, decode(path, &bytes)?)?;
    let View::Numbers(values) = view else {
        return Err(bad(path, "it holds no numbers", "name a picture"));
    };
    let size = |side: Option<usize>| side.unwrap_or_default();
    Ok(Picture {
        channels: size(shape.channels),
        height: size(shape.height),
        width: size(shape.width),
        values,
    })
}

/// A picture as numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// 1 or 3 planes.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// Plane by plane, row by row.
    pub values: Vec<f32>,
}

fn usize_of(side: u32) -> usize {
    usize::try_from(side).unwrap_or(usize::MAX)
}

fn u32_of(side: usize) -> u32 {
    u32::try_from(side).unwrap_or(u32::MAX)
}

impl Rows for ImageRows {
    fn next_row(&mut self) -> Option<Result<Row, DataError>> {
        let listed = self.listed()?;
        Some(listed.and_then(|(mut row, file)| {
            row.view = self.view(&file)?;
            Ok(row)
        }))
    }

    fn columns(&self) -> &Columns {
        match &self.list {
            List::Labels { columns, .. } => columns,
            List::Table { table, .. } => table.columns(),
        }
    }

    fn missing(&self) -> &[u64] {
        match &self.list {
            List::Labels { .. } => &[],
            List::Table { table, .. } => table.missing(),
        }
    }

    fn version(&mut self) -> Result<String, DataError> {
        if let List::Table { table, .. } = &mut self.list {
            let version = table.version()?;
            self.hasher.update(version.as_bytes());
        }
        Ok(self.hasher.finalize().to_hex().to_string())
    }

    fn image(&self) -> Option<[usize; 3]> {
        Some([self.shape.width?, self.shape.height?, self.shape.channels?])
    }
}

#[cfg(test)]
mod tests;
