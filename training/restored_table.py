"""What an evaluation of a restorer says beside its figures, as Markdown: every method at every level of noise."""

from typing import Any


def restored_table(evaluation: dict[str, Any]) -> str:
    """PSNR and SSIM with intervals over slices, and each method's lead on the classical one; then what was chosen, and by what."""
    told = evaluation["restoration"]
    lines = [
        "| noise | method | PSNR, dB | 95 % interval | SSIM | 95 % interval | PSNR ahead by | SSIM ahead by |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in told["levels"]:
        psnr, ssim = row["PSNR"], row["SSIM"]
        leads = f"{_range(psnr['ahead'], '+.2f')} | {_range(ssim['ahead'], '+.4f')}"
        lines.append(
            f"| {row['noise']} | {row['method']} | {psnr['mean']:.2f} | {_range(psnr['interval'], '.2f')} "
            f"| {ssim['mean']:.4f} | {_range(ssim['interval'], '.4f')} | {leads} |"
        )
    reached = ", ".join(f"{name} {value:.2f}" for name, value in told["validation PSNR"].items())
    return (
        "\n".join(lines)
        + f"\n\nIntervals are over the slices of few heads; ahead means of non-local means. Validation PSNR, dB: {reached}. Served: "
        + f"{told['served']}, the better network by validation. Non-local means, tuned on the same cases: {told['setting']}.\n"
    )


def _range(bounds: list[float], form: str) -> str:
    return f"{bounds[0]:{form}} to {bounds[1]:{form}}"
