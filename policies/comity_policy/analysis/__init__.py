"""Second opinions on an agreement, for people who negotiate or audit it: a Cedar twin, a z3 model, proofs and witnesses.

All of it is made from the intermediate form (`comity_policy.rules`), which the engine compiles too: here every rule becomes
conditions over named attributes (`terms`, `attributes`, `verdicts`, `conditions`), which `cedar` writes as policies and `solver`
as formulas. `proofs` asks for what must never be permitted, `relaxations` for what another version permits besides.

This is the optional extra ``comity[analysis]`` (cedarpy, z3-solver): neither the broker nor the SDK loads it, and nothing
that decides depends on it.
"""
