"""One job of a container: its folder is filled, it runs, and what it wrote becomes findings; its folders are then gone."""

from collections.abc import Sequence

from inference.applications.container.contracts import give
from inference.applications.container.described import ContainerManifest
from inference.applications.container.engine import ContainerCall, engine_here
from inference.applications.container.output import read_made
from inference.applications.container.reading import found_in
from inference.applications.container.run_folder import run_folder
from inference.applications.port import JobFiles
from inference.findings import Findings
from inference.imaging.subject import VolumeSet
from inference.imaging.volume import Volume
from inference.translatable import Translatable


def said_by(manifest: ContainerManifest, subject: Volume | VolumeSet, job: JobFiles, *, remarks: Sequence[Translatable] = ()) -> Findings:
    """What a container says of a series, or of several in their roles: all of it lies on the images of the reference.

    Raises
    ------
    ContainerEngineAway, ContainerNotStarted, ImageAbsent, ContainerFailed, ContainerStopped, ContainerOutputRefused
    IrregularSpacing
        The images are given as NIfTI, and lie in unequal steps.
    """
    volumes = [*subject.volumes.values()] if isinstance(subject, VolumeSet) else [subject]
    engine = engine_here()
    engine.image(manifest.image)
    with run_folder() as place:
        given, made = place / "given", place / "made"
        for folder in (given, made):
            folder.mkdir()
        given.chmod(0o755)
        made.chmod(0o700)
        header = give(manifest, subject, job.files, given)
        call = ContainerCall(
            image=manifest.image,
            given=given,
            made=made,
            given_at=manifest.given_at,
            made_at=manifest.made_at,
            variables=manifest.variables,
            command=manifest.command,
        )
        engine.run(call, manifest.bounds, job.seconds)
        written = read_made(manifest, made, header, frozenset(source.sop_instance_uid for volume in volumes for source in volume.sources))
        return found_in(manifest, volumes[0], written, remarks)
