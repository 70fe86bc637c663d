//! What the server says about itself and about its types: the same for everybody.

use crate::LakehouseError;
use arrow_flight::{
    error::FlightError,
    sql::{
        Nullable, Searchable, SqlInfo, SqlSupportedCaseSensitivity, SqlSupportedTransaction, XdbcDataType,
        metadata::{SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder},
    },
};

/// Version of the format whose batches are sent.
const ARROW_VERSION: &str = "1.5";

/// Built once: only the filters of a request differ.
pub(super) struct Infos {
    pub(super) server: SqlInfoData,
    pub(super) types: XdbcTypeInfoData,
}

impl Infos {
    pub(super) fn new() -> Result<Self, LakehouseError> {
        let wrong = |e: FlightError| LakehouseError::Internal(format!("description of the Flight server: {e}"));
        Ok(Self { server: server().map_err(wrong)?, types: types().map_err(wrong)? })
    }
}

fn server() -> Result<SqlInfoData, FlightError> {
    let mut out = SqlInfoDataBuilder::new();
    out.append(SqlInfo::FlightSqlServerName, "Portico");
    out.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    out.append(SqlInfo::FlightSqlServerArrowVersion, ARROW_VERSION);
    out.append(SqlInfo::FlightSqlServerReadOnly, true);
    out.append(SqlInfo::FlightSqlServerSql, true);
    out.append(SqlInfo::FlightSqlServerSubstrait, false);
    out.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    out.append(SqlInfo::FlightSqlServerCancel, false);
    out.append(SqlInfo::FlightSqlServerBulkIngestion, false);
    out.append(SqlInfo::SqlDdlCatalog, false);
    out.append(SqlInfo::SqlDdlSchema, false);
    out.append(SqlInfo::SqlDdlTable, false);
    out.append(SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
    out.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    out.append(SqlInfo::SqlQuotedIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i32);
    out.append(SqlInfo::SqlAllTablesAreSelectable, true);
    out.append(SqlInfo::SqlSearchStringEscape, "\\");
    out.append(SqlInfo::SqlSchemaTerm, "tenant");
    out.append(SqlInfo::SqlCatalogTerm, "database");
    out.append(SqlInfo::SqlCatalogAtStart, true);
    out.append(SqlInfo::SqlSupportsColumnAliasing, true);
    out.append(SqlInfo::SqlSupportsTableCorrelationNames, true);
    out.append(SqlInfo::SqlSupportsLikeEscapeClause, true);
    out.append(SqlInfo::SqlTransactionsSupported, false);
    out.append(SqlInfo::SqlStoredProceduresSupported, false);
    out.append(SqlInfo::SqlBatchUpdatesSupported, false);
    out.append(SqlInfo::SqlSavepointsSupported, false);
    out.build()
}

/// The types that columns here have.
fn types() -> Result<XdbcTypeInfoData, FlightError> {
    let mut out = XdbcTypeInfoDataBuilder::new();
    let quote = || Some("'".to_owned());
    for (name, kind, size, quoted) in [
        ("boolean", XdbcDataType::XdbcBit, 1, false),
        ("bigint", XdbcDataType::XdbcBigint, 19, false),
        ("integer", XdbcDataType::XdbcInteger, 10, false),
        ("double precision", XdbcDataType::XdbcDouble, 15, false),
        ("text", XdbcDataType::XdbcVarchar, i32::MAX, true),
        ("bytea", XdbcDataType::XdbcVarbinary, i32::MAX, true),
        ("date", XdbcDataType::XdbcDate, 10, true),
        ("timestamp with time zone", XdbcDataType::XdbcTimestamp, 32, true),
    ] {
        let number = matches!(kind, XdbcDataType::XdbcBigint | XdbcDataType::XdbcInteger | XdbcDataType::XdbcDouble);
        out.append(XdbcTypeInfo {
            type_name: name.to_owned(),
            data_type: kind,
            column_size: Some(size),
            literal_prefix: quote().filter(|_| quoted),
            literal_suffix: quote().filter(|_| quoted),
            nullable: Nullable::NullabilityNullable,
            case_sensitive: kind == XdbcDataType::XdbcVarchar,
            searchable: Searchable::Full,
            unsigned_attribute: number.then_some(false),
            sql_data_type: kind,
            num_prec_radix: number.then_some(10),
            ..XdbcTypeInfo::default()
        });
    }
    out.build()
}
