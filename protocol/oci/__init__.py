"""What the OCI runtime-spec defines: its words, its objects, and the rules between them."""
