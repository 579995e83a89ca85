"""The codes of audit messages: PS3.16 CID 400 to 405, and those of RFC 3881 that PS3.15 A.5.1.2.4 keeps."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """A coded value (CodedValueType of PS3.15 A.5.1.1)."""

    value: str
    meaning: str
    scheme: str = "DCM"


# ---- events (CID 400)
APPLICATION_ACTIVITY = Code("110100", "Application Activity")
BEGIN_TRANSFERRING = Code("110102", "Begin Transferring DICOM Instances")
INSTANCES_ACCESSED = Code("110103", "DICOM Instances Accessed")
INSTANCES_TRANSFERRED = Code("110104", "DICOM Instances Transferred")
STUDY_DELETED = Code("110105", "DICOM Study Deleted")
EXPORT = Code("110106", "Export")
QUERY = Code("110112", "Query")
SECURITY_ALERT = Code("110113", "Security Alert")
USER_AUTHENTICATION = Code("110114", "User Authentication")

# ---- what kind of event (CID 401, CID 403)
APPLICATION_START = Code("110120", "Application Start")
APPLICATION_STOP = Code("110121", "Application Stop")
LOGIN = Code("110122", "Login")
LOGOUT = Code("110123", "Logout")
NODE_AUTHENTICATION = Code("110126", "Node Authentication")
SOFTWARE_CONFIGURATION = Code("110131", "Software Configuration")
AUDIT_RECORDING_STOPPED = Code("110133", "Audit Recording Stopped")
RESTRICTED_FUNCTION = Code("110132", "Use of Restricted Function")

# ---- roles (CID 402)
APPLICATION = Code("110150", "Application")
LAUNCHER = Code("110151", "Application Launcher")
DESTINATION = Code("110152", "Destination Role ID")
SOURCE = Code("110153", "Source Role ID")
DESTINATION_MEDIA = Code("110154", "Destination Media")

# ---- media (CID 405)
MEDIA_URI = Code("110037", "URI")

# ---- what identifies an object (CID 404; A.5.1.2.4)
STUDY_INSTANCE_UID = Code("110180", "Study Instance UID")
SOP_CLASS_UID = Code("110181", "SOP Class UID")
NODE_ID = Code("110182", "Node ID")
PATIENT_NUMBER = Code("2", "Patient Number", "RFC-3881")
URI = Code("12", "URI", "RFC-3881")
