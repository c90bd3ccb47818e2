"""Where other people's bots come in: a host is read by structure and gives facts. Imported by nothing else of ours."""
