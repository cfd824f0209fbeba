"""What `/proc`, `/sys`, `/etc` and `/var` say on machines that genx is for: path -> text.

No tree was copied from a machine: they are written from the kernel's and NVIDIA's documentation and
from listings that owners of such boards have published, cut to what genx reads. Unconfirmed by such
a listing: the clocks of AGX Orin, Xavier and Thor; that JetPack 7 keeps nvpmodel's files where
JetPack 5 and 6 have them.
"""

from __future__ import annotations

from pathlib import Path

from genx_runtimes.nvidia import Gpu

Tree = dict[str, str]


def _describe_arm_cores(count: int, features: str, part: str, *, maker: str = "0x41") -> str:
    return "".join(
        f"processor\t: {i}\nBogoMIPS\t: 62.50\nFeatures\t: {features}\nCPU implementer\t: {maker}\n"
        f"CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {part}\nCPU revision\t: 1\n\n"
        for i in range(count)
    )


def _list_clock(folder: str, prefix: str, low: int, high: int, now: int) -> Tree:
    values = {"min": low, "max": high, "cur": now}
    return {f"{folder}/{prefix}{name}_freq": f"{value}\n" for name, value in values.items()}


def _list_cpu_clocks(policies: tuple[int, ...], low: int, high: int, now: int) -> Tree:
    folder = "sys/devices/system/cpu/cpufreq/policy"
    return {
        path: text
        for policy in policies
        for path, text in _list_clock(f"{folder}{policy}", "scaling_", low, high, now).items()
    }


_V8_2 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm"
_ORIN_CORE = f"{_V8_2} lrcpc dcpop asimddp uscat ilrcpc flagm paca pacg"
_NVIDIA_RELEASE = (
    "# R{} (release), REVISION: {}, GCID: 38968081, BOARD: generic, EABI: aarch64, "
    "DATE: Wed Jan  8 01:49:37 UTC 2025\n# KERNEL_VARIANT: oot\n"
)

# JetPack 6.2, in the mode that it is delivered in, clocks free.
ORIN_NANO: Tree = {
    "proc/cpuinfo": _describe_arm_cores(6, _ORIN_CORE, "0xd42"),
    "proc/meminfo": "MemTotal:        7802992 kB\nMemAvailable:    5242880 kB\n"
    "SwapTotal:       3901488 kB\n",
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
    "proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0"
    "nvidia,tegra234\0",
    "etc/nv_tegra_release": _NVIDIA_RELEASE.format(36, "4.3"),
    "etc/os-release": 'PRETTY_NAME="Ubuntu 22.04.5 LTS"\n',
    "etc/nvpmodel.conf": "< PARAM TYPE=CLOCK NAME=EMC >\nMAX_FREQ /sys/kernel/nvpmodel_emc_cap\n\n"
    "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n\n< POWER_MODEL ID=1 NAME=25W >\n"
    "GPU MAX_FREQ 918000000\n\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n\n"
    "< POWER_MODEL ID=3 NAME=7W >\n\n< PM_CONFIG DEFAULT=1 >\n",
    "var/lib/nvpmodel/status": "pmode:0001\n",
    **_list_clock("sys/class/devfreq/17000000.gpu", "", 306_000_000, 918_000_000, 306_000_000),
    **_list_clock("sys/class/devfreq/15340000.vic", "", 115_200_000, 115_200_000, 115_200_000),
    **_list_cpu_clocks((0, 4), 729_600, 1_344_000, 960_000),
}

# JetPack 6.2.1, at full power, after `jetson_clocks`.
ORIN_AGX: Tree = {
    "proc/cpuinfo": _describe_arm_cores(12, _ORIN_CORE, "0xd42"),
    "proc/meminfo": "MemTotal:       64330124 kB\nMemAvailable:   58720256 kB\n"
    "SwapTotal:      32165056 kB\n",
    "proc/device-tree/model": "NVIDIA Jetson AGX Orin Developer Kit\0",
    "proc/device-tree/compatible": "nvidia,p3737-0000+p3701-0005\0nvidia,p3701-0005\0"
    "nvidia,tegra234\0",
    "etc/nv_tegra_release": _NVIDIA_RELEASE.format(36, "4.4"),
    "etc/os-release": 'PRETTY_NAME="Ubuntu 22.04.5 LTS"\n',
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=MODE_15W >\n"
    "< POWER_MODEL ID=2 NAME=MODE_30W >\n< POWER_MODEL ID=3 NAME=MODE_50W >\n",
    "var/lib/nvpmodel/status": "pmode:0000\n",
    **_list_clock(
        "sys/class/devfreq/17000000.gpu", "", 1_300_500_000, 1_300_500_000, 1_300_500_000
    ),
    **_list_cpu_clocks((0, 4, 8), 2_201_600, 2_201_600, 2_201_600),
}

# JetPack 5.1.3: the board's name has no "Xavier" in it, and the GPU no entry in sys/class.
XAVIER: Tree = {
    "proc/cpuinfo": _describe_arm_cores(8, f"{_V8_2} dcpop", "0x004", maker="0x4e"),
    "proc/meminfo": "MemTotal:       31819748 kB\nMemAvailable:   29360128 kB\n"
    "SwapTotal:      15909872 kB\n",
    "proc/device-tree/model": "Jetson-AGX\0",
    "proc/device-tree/compatible": "nvidia,p2972-0000\0nvidia,tegra194\0",
    "etc/nv_tegra_release": _NVIDIA_RELEASE.format(35, "5.0"),
    "etc/os-release": 'PRETTY_NAME="Ubuntu 20.04.6 LTS"\n',
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=MODE_10W >\n"
    "< POWER_MODEL ID=2 NAME=MODE_15W >\n< POWER_MODEL ID=3 NAME=MODE_30W_ALL >\n",
    "var/lib/nvpmodel/status": "pmode:0003 fmode:quiet\n",
    **_list_clock(
        "sys/devices/17000000.gv11b/devfreq/17000000.gv11b",
        "",
        114_750_000,
        905_250_000,
        114_750_000,
    ),
    **_list_cpu_clocks((0, 2, 4, 6), 1_190_400, 1_190_400, 1_190_400),
}

# JetPack 7.1, with a clock for the video engine that is none of the GPU's.
THOR: Tree = {
    "proc/cpuinfo": _describe_arm_cores(
        14, f"{_ORIN_CORE} sve sve2 svebf16 svei8mm i8mm bf16", "0xd83"
    ),
    "proc/meminfo": "MemTotal:       128790100 kB\nMemAvailable:   120586240 kB\n"
    "SwapTotal:             0 kB\n",
    "proc/device-tree/model": "NVIDIA Jetson AGX Thor Developer Kit\0",
    "proc/device-tree/compatible": "nvidia,p3971-0080+p3834-0008\0nvidia,p3834-0008\0"
    "nvidia,tegra264\0",
    "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  "
    "580.00  Release Build  (buildbrain@mobile-u64)\nGCC version:  gcc version 13.2.0\n",
    "etc/nv_tegra_release": _NVIDIA_RELEASE.format(38, "4.0"),
    "etc/os-release": 'PRETTY_NAME="Ubuntu 24.04.3 LTS"\n',
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=120W >\n"
    "< POWER_MODEL ID=2 NAME=90W >\n< POWER_MODEL ID=3 NAME=70W >\n",
    "var/lib/nvpmodel/status": "pmode:0001\n",
    **_list_clock("sys/class/devfreq/gpu-gpc-0", "", 315_000_000, 1_386_000_000, 315_000_000),
    **_list_clock("sys/class/devfreq/gpu-nvd-0", "", 315_000_000, 315_000_000, 315_000_000),
    **_list_cpu_clocks((0,), 972_000, 2_601_000, 972_000),
}

RTX_DESKTOP: Tree = {
    "proc/cpuinfo": "".join(
        f"processor\t: {i}\nvendor_id\t: AuthenticAMD\n"
        "model name\t: AMD Ryzen 9 7950X 16-Core Processor\n"
        "flags\t\t: fpu vme sse2 avx avx2 avx512f avx512_vnni avx512_bf16\n\n"
        for i in range(32)
    ),
    "proc/meminfo": "MemTotal:       65535000 kB\nMemAvailable:   60000000 kB\nSwapTotal: 0 kB\n",
    "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  "
    "Thu Feb 22 01:44:30 UTC 2024\nGCC version:  gcc version 12.3.0\n",
    "etc/os-release": 'PRETTY_NAME="Ubuntu 24.04.1 LTS"\n',
}
RTX_4090 = Gpu(
    name="NVIDIA GeForce RTX 4090",
    driver="550.54.14",
    memory_mib=24564,
    compute_capability="8.9",
)

RASPBERRY_PI_5: Tree = {
    "proc/cpuinfo": _describe_arm_cores(4, f"{_V8_2} lrcpc dcpop asimddp", "0xd0b")
    + "Revision\t: d04170\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n",
    "proc/meminfo": "MemTotal:        8245280 kB\nMemFree:  1 kB\nMemAvailable:    7340032 kB\n",
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/device-tree/compatible": "raspberrypi,5-model-b\0brcm,bcm2712\0",
    "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\n',
}

# A container on a VM: a quota, and AMX bfloat16 on one of the two CPUs only.
VM: Tree = {
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz\n"
    "flags\t\t: fpu vme sse2 avx avx2 avx512f avx512_vnni amx_tile amx_int8 amx_bf16\n\n"
    "processor\t: 1\nmodel name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz\n"
    "flags\t\t: fpu vme sse2 avx avx2 avx512f avx512_vnni amx_tile amx_int8\n",
    "proc/meminfo": "MemTotal:       16384000 kB\n",
    "proc/self/cgroup": "0::/user.slice\n",
    "sys/fs/cgroup/cpu.max": "150000 100000\n",
    "etc/os-release": "PRETTY_NAME='Alpine'\n",
}


def record(root: Path, tree: Tree) -> Path:
    """Write a tree under a folder, and return the folder."""
    for name, text in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def no_gpu() -> tuple[tuple[Gpu, ...], str]:
    """Answer as where nothing of NVIDIA is installed."""
    return (), ""
