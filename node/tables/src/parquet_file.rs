//! The Parquet file of a table: one row group, every column optional but flags.

use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};

use super::{TableError, Values};

/// What the file says made it; without a version, so that bytes do not change with one.
const CREATED_BY: &str = "fieldmark";

pub(super) fn write(columns: &[(String, Values)]) -> Result<Vec<u8>, TableError> {
    let fields = columns
        .iter()
        .map(|(name, values)| field(name, values))
        .collect::<Result<_, _>>()?;
    let schema = Type::group_type_builder("table").with_fields(fields).build()?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(CREATED_BY.to_owned())
        .build();
    let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    let mut rest = columns.iter();
    while let (Some(mut writer), Some((_, values))) = (group.next_column()?, rest.next()) {
        column(&mut writer, values)?;
        writer.close()?;
    }
    group.close()?;
    Ok(file.into_inner()?)
}

fn field(name: &str, values: &Values) -> Result<TypePtr, TableError> {
    let (physical, converted, repetition) = match values {
        Values::Text(_) => (Physical::BYTE_ARRAY, ConvertedType::UTF8, Repetition::OPTIONAL),
        Values::Number(_) => (Physical::DOUBLE, ConvertedType::NONE, Repetition::OPTIONAL),
        Values::Whole(_) => (Physical::INT64, ConvertedType::NONE, Repetition::OPTIONAL),
        Values::Flag(_) => (Physical::BOOLEAN, ConvertedType::NONE, Repetition::REQUIRED),
    };
    let built = Type::primitive_type_builder(name, physical)
        .with_converted_type(converted)
        .with_repetition(repetition)
        .build()?;
    Ok(Arc::new(built))
}

fn column(writer: &mut SerializedColumnWriter<'_>, values: &Values) -> Result<(), TableError> {
    match values {
        Values::Text(values) => {
            let bytes = |text: &String| ByteArray::from(text.as_str());
            optional::<ByteArrayType>(writer, values.iter().map(|value| value.as_ref().map(bytes)))
        }
        Values::Number(values) => {
            let number = |value: &Option<f64>| value.filter(|value| !value.is_nan());
            optional::<DoubleType>(writer, values.iter().map(number))
        }
        Values::Whole(values) => optional::<Int64Type>(writer, values.iter().copied()),
        Values::Flag(values) => {
            writer.typed::<BoolType>().write_batch(values, None, None)?;
            Ok(())
        }
    }
}

/// Writes the values that are there, and a level per row that says which.
fn optional<T: DataType>(
    writer: &mut SerializedColumnWriter<'_>,
    values: impl Iterator<Item = Option<T::T>>,
) -> Result<(), TableError> {
    let (mut present, mut levels) = (Vec::new(), Vec::new());
    for value in values {
        levels.push(i16::from(value.is_some()));
        present.extend(value);
    }
    writer.typed::<T>().write_batch(&present, Some(&levels), None)?;
    Ok(())
}
