//! The object store that tables live in, local or S3, with what local files need to be durable.

use crate::{LakehouseError, ObjectStoreConfig};
use object_store::{ObjectStore, ObjectStoreExt, aws::AmazonS3Builder, local::LocalFileSystem, path::Path, prefix::PrefixStore};
use schemas::TableRef;
use std::{collections::BTreeSet, path::PathBuf, sync::Arc};
use url::Url;

/// The root of all tables: `<tenant>/<product>/...` below it.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The directory, when it is one.
    pub(crate) dir: Option<PathBuf>,
}

impl Root {
    pub(crate) fn open(config: &ObjectStoreConfig, data_dir: &std::path::Path) -> Result<Self, LakehouseError> {
        match config {
            ObjectStoreConfig::Local => {
                let dir = data_dir.join("tables");
                std::fs::create_dir_all(&dir).map_err(LakehouseError::io(format!("creating {}", dir.display())))?;
                let store = LocalFileSystem::new_with_prefix(&dir).map_err(LakehouseError::store("opening tables"))?;
                let dir = dir.canonicalize().map_err(LakehouseError::io(format!("resolving {}", dir.display())))?;
                Ok(Self { store: Arc::new(store), dir: Some(dir) })
            }
            ObjectStoreConfig::S3 { url, options } => {
                let bad = |rule: String| LakehouseError::Config { name: "object_store.url", rule };
                let parsed = Url::parse(url).map_err(|e| bad(e.to_string()))?;
                if parsed.scheme() != "s3" {
                    return Err(bad(format!("'{url}' must start with s3://")));
                }
                let mut builder = AmazonS3Builder::new().with_url(url.as_str());
                for (key, value) in options {
                    // They come from the environment, which also has settings of other S3 clients.
                    match key.parse() {
                        Ok(key) => builder = builder.with_config(key, value),
                        Err(_) => tracing::debug!(option = key, "not an option of this S3 client"),
                    }
                }
                let bucket = builder.build().map_err(LakehouseError::store("opening the bucket"))?;
                let prefix = Path::from(parsed.path());
                Ok(Self { store: Arc::new(PrefixStore::new(bucket, prefix)), dir: None })
            }
        }
    }

    /// Where a table lives, from the root.
    pub(crate) fn table_path(table: &TableRef) -> Path {
        Path::from_iter([table.tenant.as_str(), table.product.as_str()])
    }

    /// The location by which the table format knows a table, and the store in which it looks that location up.
    pub(crate) fn table_location(&self, table: &TableRef) -> Result<(Url, Arc<dyn ObjectStore>), LakehouseError> {
        let bad = |at: &dyn std::fmt::Display| LakehouseError::Internal(format!("{at} is no location for a table"));
        match &self.dir {
            // The format checks that a file location is a real directory, so that its store is the whole file system.
            Some(dir) => {
                let dir = dir.join(table.tenant.as_str()).join(table.product.as_str());
                let url = Url::from_directory_path(&dir).map_err(|()| bad(&dir.display()))?;
                Ok((url, Arc::new(LocalFileSystem::new())))
            }
            // The bucket's name does not matter: only the path is looked up, in our store.
            None => {
                let text = format!("s3://portico/{}/", Self::table_path(table));
                let url = Url::parse(&text).map_err(|_| bad(&text))?;
                Ok((url, Arc::clone(&self.store)))
            }
        }
    }

    /// Makes the directory of a table, where directories are a thing.
    pub(crate) async fn make_table_dir(&self, table: &TableRef) -> Result<(), LakehouseError> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let dir = dir.join(table.tenant.as_str()).join(table.product.as_str());
        tokio::fs::create_dir_all(&dir).await.map_err(LakehouseError::io(format!("creating {}", dir.display())))
    }

    /// Tables with a directory, whether or not it holds a commit.
    pub(crate) async fn tables(&self) -> Result<Vec<TableRef>, LakehouseError> {
        let list = |prefix: Option<Path>| async move {
            let found = self.store.list_with_delimiter(prefix.as_ref()).await.map_err(LakehouseError::store("listing tables"))?;
            Ok::<_, LakehouseError>(found.common_prefixes)
        };
        let mut out = Vec::new();
        for tenant in list(None).await? {
            for table in list(Some(tenant)).await? {
                let name = table.as_ref().replace('/', ".");
                match TableRef::parse(&name) {
                    Ok(table) => out.push(table),
                    Err(error) => tracing::warn!(%error, "a directory below the tables is not a table"),
                }
            }
        }
        Ok(out)
    }

    /// Makes written objects durable, and the entries of so many directories above them: 1 for a file in an old directory,
    /// more when directories may be new. An object store that is not a directory has done so when `put` returned.
    pub(crate) async fn sync(&self, paths: &[Path], levels: usize) -> Result<(), LakehouseError> {
        let Some(dir) = self.dir.clone() else { return Ok(()) };
        let files: Vec<PathBuf> = paths.iter().map(|p| dir.join(p.as_ref())).collect();
        let work = move || {
            let mut dirs = BTreeSet::new();
            for file in &files {
                std::fs::File::open(file)?.sync_all()?;
                let above = file.ancestors().skip(1).take(levels).take_while(|d| d.starts_with(&dir));
                dirs.extend(above.map(std::path::Path::to_owned));
            }
            dirs.iter().try_for_each(|d| std::fs::File::open(d)?.sync_all())
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|e| LakehouseError::Internal(format!("sync task: {e}")))?
            .map_err(LakehouseError::io("syncing table files"))
    }

    pub(crate) async fn read(&self, path: &Path) -> Result<bytes::Bytes, LakehouseError> {
        let doing = || format!("reading {path}");
        let found = self.store.get(path).await.map_err(LakehouseError::store(doing()))?;
        found.bytes().await.map_err(LakehouseError::store(doing()))
    }
}
