//! Saving a twin and loading it again, so that a start reads a file instead of every table.
//!
//! The file: checked blocks (see [`crate::codec`]): a header, then per table one block of names, its entities and its
//! rows by the chunk, then an end mark. Fields are matched by name, so a contract may gain some between save and load.

use crate::{
    Twin, TwinError,
    codec::{Decoder, Encoder, read_block, write_block},
    rows::{Column, Link, RowChunk},
    state::{NONE, State},
    table::Table,
};
use schemas::{Contracts, FieldType, ProductId, TableRef, Tenant, id::ID_LEN_MAX};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    sync::Arc,
};

const MAGIC: &str = "portico-twin";
const END: &str = "end";
/// Raise it when the layout of a block changes; a file of another version is refused and the twin rebuilt.
const VERSION: u32 = 1;

impl Twin {
    /// Writes everything, position included; `to` should be buffered. Errors: [`TwinError::Io`].
    pub fn save(&self, mut to: impl Write) -> Result<(), TwinError> {
        let to: &mut dyn Write = &mut to;
        let mut block = Encoder::default();
        block.text(MAGIC);
        block.u32(VERSION);
        block.u64(self.position());
        block.u32(self.tables().len() as u32);
        write_block(to, &mut block)?;
        for table in self.tables().values() {
            // Saved in the order of space, so that the next start has it.
            let table = if table.is_clustered() { Arc::clone(table) } else { Arc::new(table.clustered()) };
            save_table(&table, to, &mut block)?;
        }
        block.text(END);
        write_block(to, &mut block)?;
        Ok(to.flush()?)
    }

    /// Reads what [`Self::save`] wrote; tables whose contract is gone are left out.
    /// Errors: damage, another version, or key fields or types that the contract has otherwise now: rebuild then.
    pub fn load(contracts: Contracts, mut from: impl Read) -> Result<Self, TwinError> {
        let from: &mut dyn Read = &mut from;
        let mut buffer = Vec::new();
        let mut header = read_block(from, &mut buffer)?;
        if header.text()? != MAGIC || header.u32()? != VERSION {
            return Err(TwinError::Corrupt { at: "header", rule: "not a twin saved by this version" });
        }
        let (position, n_tables) = (header.u64()?, header.u32()?);
        let mut tables = BTreeMap::new();
        for _ in 0..n_tables {
            if let Some(table) = load_table(&contracts, from)? {
                tables.insert(table.table.clone(), Arc::new(table));
            }
        }
        if read_block(from, &mut buffer)?.text()? != END {
            return Err(TwinError::Corrupt { at: "end", rule: "the end mark is missing" });
        }
        Ok(Self::new(contracts, tables, position))
    }
}

fn save_table(table: &Table, to: &mut dyn Write, block: &mut Encoder) -> Result<(), TwinError> {
    block.text(table.table.tenant.as_str());
    block.text(table.table.product.as_str());
    let keys = table.layout.keys.iter().map(|k| (&k.name, k.kind));
    let attributes = table.layout.attributes.iter().map(|a| (&a.name, a.kind));
    for fields in [keys.collect::<Vec<_>>(), attributes.collect()] {
        block.u32(fields.len() as u32);
        for (name, kind) in fields {
            block.text(name);
            block.u8(kind as u8);
        }
    }
    block.u32(table.sources.len() as u32);
    table.sources.iter().for_each(|s| block.text(s));
    block.u32(table.states.chunks().count() as u32);
    block.u32(table.rows.chunks.len() as u32);
    block.u32(table.rows.len() as u32);
    write_block(to, block)?;
    for (ids, states) in table.ids.chunks().zip(table.states.chunks()) {
        block.u32(ids.len() as u32);
        for (id, state) in ids.iter().zip(states) {
            block.text(id);
            block.state(state);
        }
        write_block(to, block)?;
    }
    for chunk in &table.rows.chunks {
        block.u32(chunk.len as u32);
        for link in &chunk.links {
            link.key.values.iter().for_each(|v| block.value(v.as_ref()));
            block.u32(link.next);
        }
        chunk.columns.iter().for_each(|c| block.column(c));
        write_block(to, block)?;
    }
    Ok(())
}

/// The first block of a table.
struct Head {
    table: TableRef,
    keys: Vec<(String, FieldType)>,
    attributes: Vec<(String, FieldType)>,
    sources: Vec<Arc<str>>,
    n_entity_chunks: u32,
    n_row_chunks: u32,
    n_rows: u32,
}

impl Head {
    fn read(d: &mut Decoder<'_>) -> Result<Self, TwinError> {
        let name = |_| TwinError::Corrupt { at: "table", rule: "not a name" };
        let tenant = Tenant::new(d.text()?).map_err(name)?;
        let table = TableRef::new(tenant, ProductId::new(d.text()?).map_err(name)?);
        let mut fields = || -> Result<Vec<_>, TwinError> {
            let n = d.u32()?;
            (0..n).map(|_| Ok((d.text()?.to_owned(), d.kind()?))).collect()
        };
        let (keys, attributes) = (fields()?, fields()?);
        let n_sources = d.u32()?;
        let sources = (0..n_sources).map(|_| d.text().map(Arc::from)).collect::<Result<_, _>>()?;
        Ok(Self { table, keys, attributes, sources, n_entity_chunks: d.u32()?, n_row_chunks: d.u32()?, n_rows: d.u32()? })
    }
}

/// `None` when the contract of the table is gone.
fn load_table(contracts: &Contracts, from: &mut dyn Read) -> Result<Option<Table>, TwinError> {
    let mut buffer = Vec::new();
    let head = Head::read(&mut read_block(from, &mut buffer)?)?;
    let Some(contract) = contracts.get(&head.table.product) else {
        for _ in 0..u64::from(head.n_entity_chunks) + u64::from(head.n_row_chunks) {
            read_block(from, &mut buffer)?;
        }
        return Ok(None);
    };
    let mut table = Table::new(head.table.clone(), Arc::clone(contract));
    check_fields(&table, &head)?;
    table.sources = Arc::new(head.sources.clone());
    for _ in 0..head.n_entity_chunks {
        load_entities(&mut table, &head, &mut read_block(from, &mut buffer)?)?;
    }
    for n in 0..head.n_row_chunks {
        let chunk = load_rows(&table, &head, &mut read_block(from, &mut buffer)?)?;
        if chunk.len == 0 || (n + 1 < head.n_row_chunks && chunk.len != crate::chunks::CHUNK) {
            return Err(TwinError::Corrupt { at: "rows", rule: "a chunk that is not the last is not full" });
        }
        table.rows.chunks.push(Arc::new(chunk));
    }
    if table.rows.len() != head.n_rows as usize {
        return Err(TwinError::Corrupt { at: "rows", rule: "not as many as announced" });
    }
    table.set_clustered();
    Ok(Some(table))
}

fn check_fields(table: &Table, head: &Head) -> Result<(), TwinError> {
    let fail = |rule: String| TwinError::Incompatible { table: head.table.clone(), rule };
    if !table.layout.keys.iter().map(|k| (&*k.name, k.kind)).eq(head.keys.iter().map(|(n, k)| (n.as_str(), *k))) {
        return Err(fail("the key fields are others".into()));
    }
    for (name, kind) in &head.attributes {
        if table.layout.attributes.iter().any(|a| *a.name == **name && a.kind != *kind) {
            return Err(fail(format!("field '{name}' has another type")));
        }
    }
    Ok(())
}

fn load_entities(table: &mut Table, head: &Head, d: &mut Decoder<'_>) -> Result<(), TwinError> {
    let fail = |rule| TwinError::Corrupt { at: "entity", rule };
    for _ in 0..d.u32()? {
        let id = d.text()?;
        let state: State = d.state()?;
        if id.len() > ID_LEN_MAX || table.find(id).is_some() {
            return Err(fail("its name is too long or occurs twice"));
        }
        if state.first_row >= head.n_rows && (state.first_row != NONE || !table.layout.keyed()) {
            return Err(fail("its row does not exist"));
        }
        table.push_entity(id.into(), state);
    }
    Ok(())
}

fn load_rows(table: &Table, head: &Head, d: &mut Decoder<'_>) -> Result<RowChunk, TwinError> {
    let n = d.u32()? as usize;
    if n > crate::chunks::CHUNK {
        return Err(TwinError::Corrupt { at: "rows", rule: "too many in a chunk" });
    }
    let mut links = Vec::new();
    for _ in 0..if table.layout.keyed() { n } else { 0 } {
        let values = head.keys.iter().map(|_| d.value()).collect::<Result<Vec<_>, _>>()?;
        let next = d.u32()?;
        if next >= head.n_rows && next != NONE {
            return Err(TwinError::Corrupt { at: "rows", rule: "the next row does not exist" });
        }
        links.push(Link { key: table.rehashed(&values), next });
    }
    let mut saved = BTreeMap::new();
    for (name, kind) in &head.attributes {
        saved.insert(name.as_str(), d.column(*kind, n)?);
    }
    let attributes = table.layout.attributes.iter();
    let columns = attributes.map(|a| saved.remove(&*a.name).unwrap_or_else(|| Column::absent(a.kind, n))).collect();
    Ok(RowChunk { links, columns, len: n })
}

#[cfg(test)]
mod tests;
