//! A container's bundle, out of an image of the store: an overlay of the store's layers, the init
//! layer and a writable layer, or with `--flat` a copy of its own.

use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::fs::{Mode, OFlags};

use super::config;
use super::container_record::{ContainerRecord, HOSTNAME_LENGTH, MountedRoot, RootfsKind};
use super::directory::{BundleDirectory, ROOTFS};
use super::host_files;
use super::in_making::BundleInMaking;
use super::init_layer;
use super::options::{self, BundleOptions, Container};
use super::unpack::unpack_into;
use crate::layer::apply::ApplyOptions;
use crate::layer::ids::IdMapping;
use crate::layer::rootfs::RootFs;
use crate::layout::resolve::Image;
use crate::network::Network;
use crate::random_name::random_name;
use crate::store::layers::{LayerChain, copy_directory_metadata};
use crate::store::volumes::UsedVolumes;
use crate::store::{Store, Stored};
use crate::warnings::Warnings;

/// What the caller asks of a bundle. Nothing in it comes from an image.
#[derive(Debug, Clone, Default)]
pub struct BundleRequest {
    /// Unpack the image instead of mounting its layers.
    pub flat: bool,
    /// How the image is unpacked. Shared layers take only the limits: there is one of each.
    pub apply: ApplyOptions,
    /// What is said of config.json.
    pub options: BundleOptions,
    /// The container's network.
    pub network: Network,
}

/// Directories of a bundle with an overlay.
pub(super) const INIT: &str = "init";
pub(super) const UPPER: &str = "upper";
pub(super) const WORK: &str = "work";

/// Makes the bundle at `path`, or fails and leaves nothing.
///
/// The order: layers, directory, record, view of the image, config.json's content, mount points in
/// the init layer, the mount, and at last the names of new volumes and of config.json, without
/// which no runtime takes the directory for a bundle. Killed on the way, `unbundle` removes what is
/// there, or `gc` does.
pub fn create(store: &Store, image: &Stored, path: &Path, request: &BundleRequest) -> Result<()> {
    let name = image.names.first().cloned();
    let name = name.unwrap_or_else(|| image.descriptor.digest.to_string());
    let mut image = Image::below(store.layout(), &image.descriptor)?;
    image.forget_bytes();
    config::check_platform(&image.config)?;
    let chain = if request.flat {
        store.chain_of(&image.config.rootfs.diff_ids)
    } else {
        check_shareable(&request.apply)?;
        store.unpacked_layers(&image, &request.apply.limits)?
    };
    let mut directory = BundleDirectory::create(path)?;
    let path = &std::fs::canonicalize(path).context("canonicalize the bundle's path")?;
    let store_path = store.layout().path();
    let mut record = ContainerRecord {
        id: random_name::<16>()?,
        store: std::fs::canonicalize(store_path).context("canonicalize the store's path")?,
        image_name: name,
        image: image.way.clone(),
        rootfs: if request.flat {
            RootfsKind::Flat
        } else {
            RootfsKind::Overlay
        },
        layers: chain.ids.clone(),
        volumes: Vec::new(),
        mounted: None,
    };
    store.begin_bundle(&record.reference(path.clone())?)?;
    let made = fill(
        store,
        &image,
        &chain,
        &mut directory,
        path,
        &mut record,
        request,
    )
    .and_then(|volumes| {
        volumes.keep()?;
        directory.complete()
    });
    match made {
        Ok(()) => store.complete_bundle(&record.reference(path.clone())?),
        Err(error) => {
            store.forget_bundle(&record.id)?;
            Err(error)
        }
    }
}

/// Refuses what can only be had with a tree of its own.
fn check_shareable(options: &ApplyOptions) -> Result<()> {
    if options.mapping != IdMapping::default() || options.keep_dirlinks {
        bail!(
            "layers that containers share are unpacked in one way: --uid-map, --gid-map, \
             --rootless and --keep-dirlinks need --flat"
        );
    }
    Ok(())
}

/// Makes all of the bundle, but for config.json's name and those of new volumes, which it returns.
fn fill(
    store: &Store,
    image: &Image,
    chain: &LayerChain,
    directory: &mut BundleDirectory,
    path: &Path,
    record: &mut ContainerRecord,
    request: &BundleRequest,
) -> Result<UsedVolumes> {
    record.write(directory)?;
    let root = directory.make_rootfs()?;
    let mut rootfs = if request.flat {
        unpack_into(
            store.layout(),
            image,
            directory,
            root.try_clone()?,
            &request.apply,
        )?
    } else {
        view_with_init_layer(chain, directory, path)?
    };
    let mut warnings = Warnings::default();
    let hostname = request.network.hostname();
    let container = Container {
        image: &image.config,
        rootfs: &rootfs,
        hostname: hostname.as_deref().unwrap_or(&record.id[..HOSTNAME_LENGTH]),
        mapping: &request.apply.mapping,
    };
    let mut config = request.options.config(container, &mut warnings)?;
    let mut making = BundleInMaking {
        store,
        image: &image.config,
        rootfs: &mut rootfs,
        directory,
        path,
        record,
    };
    host_files::add(&mut config, &mut making)?;
    let own = config.mounts.iter().map(|mount| mount.destination.clone());
    let own: Vec<String> = own.collect();
    // What the caller says comes last, and wins.
    let volumes = request.options.mount(&mut config, &mut making)?;
    request.network.configure(&mut config, &mut making)?;
    options::settle_network(&mut config)?;
    host_files::write_hostname(&config, &mut making)?;
    if !request.flat {
        // For the caller's mounts and for volumes the runtime makes them, as under Docker: in the
        // writable layer, so that what is committed has a place for them.
        let mut mounts = config.mounts.clone();
        mounts.retain(|mount| own.contains(&mount.destination));
        init_layer::make_mount_points(&mounts, &mut rootfs)?;
        drop(rootfs);
        mount(chain, directory, path, root.as_fd())?;
        record.mounted = Some(MountedRoot::at(&path.join(ROOTFS))?);
    }
    record.write(directory)?;
    directory.write_config(&config::to_json(&config)?)?;
    warnings.summarize();
    Ok(volumes)
}

/// The image as the init layer is made on top of it.
fn view_with_init_layer(
    chain: &LayerChain,
    directory: &mut BundleDirectory,
    path: &Path,
) -> Result<RootFs> {
    for name in [INIT, UPPER, WORK] {
        directory.make_directory(name)?;
        if let Some(top) = chain.directories.last()
            && name != WORK
        {
            copy_directory_metadata(top, &path.join(name))?;
        }
    }
    let overlay = chain.overlay(None, path.join(INIT), path.join(WORK));
    if chain.directories.is_empty() {
        // An image without layers has nothing that an overlay could lie over.
        let init = rustix::fs::open(
            &overlay.upper,
            OFlags::PATH | OFlags::DIRECTORY,
            Mode::empty(),
        )
        .context("open the init layer")?;
        return Ok(RootFs::new(init));
    }
    let mount = overlay.detached(&path.join("rootfs"))?;
    Ok(RootFs::new(mount))
}

/// Mounts the bundle's root file system: layers, init layer, writable layer.
fn mount(
    chain: &LayerChain,
    directory: &mut BundleDirectory,
    path: &Path,
    root: impl AsFd,
) -> Result<()> {
    let overlay = chain.overlay(Some(path.join(INIT)), path.join(UPPER), path.join(WORK));
    overlay.mount_on(root.as_fd(), &path.join("rootfs"))?;
    directory.note_mount();
    Ok(())
}
