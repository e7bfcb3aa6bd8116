"""Who is who: statements about keys, and the pure fold of the key log that answers which key counts (design 03)."""
