//! From a registry into the store, and there into unpacked layers, both at once.

use anyhow::{Context, Result, bail};

use super::Store;
use super::layers::{Coming, can_share_layers};
use crate::copy::plan::Plan;
use crate::copy::{CopyOptions, Meanwhile, Transfer, carry_out};
use crate::layer::limits::Limits;
use crate::layout::document::Manifest;
use crate::layout::raw_document::RawDocument;
use crate::layout::resolve::Image;
use crate::progress::Progress;
use crate::transport::registry::RegistrySource;
use crate::transport::{Accepts, Destination};

impl Store {
    /// Fetches an image and names it; what its name leads to then. With `unpack`, its layers are
    /// unpacked in their order, each as soon as its blob is here and those below it are unpacked.
    /// Of a blob nothing is unpacked before all of it has come and has its digest, and a layer is
    /// there once its diffID is right too. If anything fails, the image gets no name, and what was
    /// fetched and unpacked is used by the next try, or removed by `gc`.
    pub fn pull(
        &self,
        source: &RegistrySource,
        name: &str,
        options: &CopyOptions,
        progress: &Progress,
        unpack: Option<Limits>,
    ) -> Result<RawDocument> {
        let plan = Plan::make(source, Accepts::Anything, options)?;
        let mut meanwhile: Option<Meanwhile<'_>> = None;
        if let Some(limits) = unpack {
            let Some(manifest) = plan.manifest.clone() else {
                bail!("only one image of an index can be unpacked");
            };
            if !can_share_layers() {
                bail!("only the host's root can unpack layers into the store");
            }
            let number = plan.blobs.len();
            meanwhile = Some(Box::new(move |transfer| {
                self.unpack_coming(&manifest, &limits, transfer, progress, number)
            }));
        }
        // A lock of its own, shared as ours is.
        let destination = Store::open(self.layout().path())?.destination(name.to_owned());
        debug_assert_eq!(destination.accepts(), Accepts::Anything);
        carry_out(plan, source, &destination, progress, meanwhile)
    }

    /// Unpacks the layers of an image that is on its way.
    fn unpack_coming(
        &self,
        manifest: &RawDocument,
        limits: &Limits,
        transfer: &Transfer<'_>,
        progress: &Progress,
        number: usize,
    ) -> Result<()> {
        let parsed = Manifest::parse(&manifest.bytes, &manifest.media_type)
            .with_context(|| format!("manifest {}", manifest.digest))?;
        transfer.wait_for(&parsed.config.digest)?;
        let mut image = Image::of_manifest(
            self.layout(),
            manifest.bytes.clone(),
            manifest.descriptor(),
            Vec::new(),
        )?;
        image.forget_bytes();
        let coming = Coming {
            transfer,
            progress,
            number,
        };
        self.unpacked_meanwhile(&image.layers()?, limits, Some(coming))?;
        Ok(())
    }
}
