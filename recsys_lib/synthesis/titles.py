"""Realistic lab titles: a topic of the track and an activity."""

import numpy as np

__all__ = ["TOPICS", "lab_titles"]

# One row per track, in the order of taste.TRACKS; made up, and no product of anybody.
TOPICS: dict[str, tuple[str, ...]] = {
    "CMP": (
        "Cloud Automation",
        "Service Catalogs",
        "Cost Analytics",
        "Infrastructure as Code",
        "Self-Service Portals",
        "Multi-Cloud Governance",
        "Approval Workflows",
        "Capacity Planning",
        "Log Analytics",
        "Configuration Drift",
        "Chargeback and Showback",
        "Day 2 Operations",
        "Performance Dashboards",
        "Policy as Code",
    ),
    "SDC": (
        "Virtual Machine Clusters",
        "Software-Defined Storage",
        "Live Migration",
        "Storage Policies",
        "Host Lifecycle",
        "High Availability",
        "Disaster Recovery",
        "Resource Scheduling",
        "Stretched Clusters",
        "Cluster Upgrades",
        "Snapshots and Backup",
        "Persistent Memory",
        "Hardware Acceleration",
        "Workload Placement",
    ),
    "ISM": (
        "Service Desk Integration",
        "Asset Inventory",
        "Incident Response",
        "Change Management",
        "Monitoring Pipelines",
        "Alert Routing",
        "Root Cause Analysis",
        "Runbook Automation",
        "Service Level Objectives",
        "Dependency Mapping",
        "Event Correlation",
        "Compliance Reporting",
        "Patch Management",
        "Configuration Databases",
    ),
    "NET": (
        "Micro-Segmentation",
        "Distributed Routing",
        "Load Balancing",
        "Overlay Networks",
        "Network Observability",
        "Edge Gateways",
        "Wide Area Networks",
        "Address Management",
        "Software-Defined Branch",
        "Multicast and Quality of Service",
        "Layer 2 Extension",
        "Flow Analysis",
        "Container Networking",
        "Network Automation",
    ),
    "HBD": (
        "Hybrid Connectivity",
        "Workload Mobility",
        "Cloud Migration Waves",
        "Cloud Disaster Recovery",
        "Bare-Metal Cloud Regions",
        "Hybrid Identity",
        "Application Discovery",
        "Data Center Evacuation",
        "Cloud Bursting",
        "Cross-Cloud Networking",
        "Edge Sites",
        "Sovereign Regions",
        "Landing Zones",
        "Hybrid Storage Tiers",
    ),
    "SEC": (
        "Zero Trust Access",
        "Distributed Firewalls",
        "Intrusion Detection",
        "Endpoint Protection",
        "Threat Hunting",
        "Certificate Management",
        "Secrets Rotation",
        "Vulnerability Scanning",
        "Identity Federation",
        "Ransomware Recovery",
        "Encryption at Rest",
        "Security Baselines",
        "Audit Trails",
        "Workload Isolation",
    ),
    "CNA": (
        "Container Clusters",
        "Service Meshes",
        "Build Pipelines",
        "Serverless Functions",
        "Image Registries",
        "Stateful Containers",
        "Cluster Autoscaling",
        "API Gateways",
        "Message Queues",
        "Blue-Green Releases",
        "Application Tracing",
        "GitOps Delivery",
        "Developer Portals",
        "Microservice Patterns",
    ),
    "EUC": (
        "Virtual Desktops",
        "Application Streaming",
        "Device Enrolment",
        "Mobile Management",
        "Single Sign-On",
        "Desktop Images",
        "Profile Management",
        "Remote Graphics",
        "Digital Workspace",
        "Conditional Access",
        "Print and Peripherals",
        "Kiosk Devices",
        "User Experience Scores",
        "Endpoint Analytics",
    ),
}

# One row per level, in the order of taste.LEVELS.
_FORMS = (
    ("Getting Started with {}", "{}: What's New", "{} Fundamentals", "{} in 60 Minutes",
     "A First Look at {}", "{} for Beginners", "Introduction to {}", "{}: The Guided Tour"),
    ("Working with {}", "{}: Design and Deploy", "{} in Practice", "Operating {}",
     "{}: A Day in the Life", "Building on {}", "{}: From Plan to Production", "Automating {}"),
    ("Advanced {}", "Troubleshooting {}", "{} at Scale", "{}: Deep Dive",
     "Securing and Tuning {}", "{}: Challenge Lab", "{} Internals", "Mastering {}"),
)  # fmt: skip


def lab_titles(
    tracks: list[str], levels: list[int], numbers: list[int], rng: np.random.Generator
) -> list[str]:
    """Return one distinct title per lab; labs of one number share their topic.

    Parameters
    ----------
    tracks : list of str
        Track of each lab.
    levels : list of int
        Position of each lab's level, 0 to 2.
    numbers : list of int
        Which labs are variants of one another; a number belongs to one track.
    rng : numpy.random.Generator
        Shuffles topics and forms.

    Returns
    -------
    list of str

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> len(set(lab_titles(["NET"] * 3, [0, 0, 2], [1, 1, 2], rng)))
    3
    """
    topic_of: dict[int, str] = {}
    left = {track: list(rng.permutation(topics)) for track, topics in TOPICS.items()}
    used: dict[str, int] = {}
    titles = []
    for track, level, number in zip(tracks, levels, numbers, strict=True):
        if number not in topic_of:
            if not left[track]:  # more labs than topics: a second edition of the track
                left[track] = list(rng.permutation(TOPICS[track]))
            topic_of[number] = left[track].pop()
        titles.append(_fresh_title(topic_of[number], level, used, rng))
    return titles


def _fresh_title(topic: str, level: int, used: dict[str, int], rng: np.random.Generator) -> str:
    """Return a title form of this level that is new for the topic, or a numbered part."""
    forms = [form.format(topic) for form in rng.permutation(np.array(_FORMS[level]))]
    title = min(forms, key=lambda form: used.get(form, 0))
    used[title] = used.get(title, 0) + 1
    return title if used[title] == 1 else f"{title}, Part {used[title]}"
