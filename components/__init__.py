"""What Synesthesia does, stage by stage; nothing in here knows DVC or Prefect."""
