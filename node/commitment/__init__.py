"""Storage commitment above the network (PS3.4 Annex J): as SCU it asks archives, as SCP it answers senders."""
