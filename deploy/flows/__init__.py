"""Our flows as processes of this machine: declared by the settings, kept running by one detached supervisor."""
