//! The policies with which a network begins, written into block 1 like any others: they can be changed and removed.

/// Id and text of each, sorted by id.
pub const STARTER: [(&str, &str); 12] = [
    (
        "administrators-manage",
        r#"// Administrators do everything for their own organisation: to itself, its principals, its registers.
permit (
  principal in Role::"administrator",
  action,
  resource
) when {
  resource in principal.organisation
};
"#,
    ),
    (
        "consent-required",
        r#"// Nobody reads by consent, unless everybody whom the values are about has given one that covers the read and is in force.
forbid (
  principal,
  action == Action::"record-read",
  resource
) when {
  context has consent && !context.consent
};
"#,
    ),
    (
        "custodian-consents",
        r#"// Registrars put on record who consents to what, and who no longer does, in the registers of which their organisation is the custodian.
permit (
  principal in Role::"registrar",
  action in [Action::"consent-give", Action::"consent-withdraw"],
  resource is Register
) when {
  resource.custodian == principal.organisation
};
"#,
    ),
    (
        "custodian-reads",
        r#"// Everybody of the organisation that is the custodian reads what its registers hold sealed: on record, for a purpose.
permit (
  principal,
  action == Action::"record-read",
  resource is Register
) when {
  resource.custodian == principal.organisation
};
"#,
    ),
    (
        "custodian-writes",
        r#"// Registrars append to and correct the registers of which their organisation is the custodian.
permit (
  principal in Role::"registrar",
  action in [Action::"entry-append", Action::"record-correct"],
  resource is Register
) when {
  resource.custodian == principal.organisation
};
"#,
    ),
    (
        "member-nodes",
        r#"// Nodes of a partition's members have private transactions ordered in it, and post its roots.
permit (
  principal,
  action in Action::"sharing",
  resource is Partition
) when {
  resource.members.contains(principal.organisation)
};
"#,
    ),
    (
        "own-certificate",
        r#"// Everybody renews the certificate of a key of their own.
permit (
  principal,
  action == Action::"key-certify",
  resource
) when {
  resource == principal
};
"#,
    ),
    (
        "own-keys",
        r#"// Everybody adds, replaces and ends keys of their own, but no agent does it for them.
permit (
  principal,
  action in [Action::"key-add", Action::"key-rotate", Action::"key-retire"],
  resource
) when {
  resource == principal && context.signer == principal
};
"#,
    ),
    (
        "own-mandates",
        r#"// Everybody lets others act for them, and ends it.
permit (
  principal,
  action in Action::"delegation",
  resource
) when {
  resource == principal
};
"#,
    ),
    (
        "own-notices",
        r#"// Whoever read what was wrong says that they know of the correction.
permit (
  principal,
  action == Action::"notice-acknowledge",
  resource
) when {
  resource == principal
};
"#,
    ),
    (
        "own-receipts",
        r#"// Every node says of itself that it destroyed what was ordered, and no agent says it for another.
permit (
  principal,
  action == Action::"erasure-receipt",
  resource
) when {
  resource == principal && context.signer == principal
};
"#,
    ),
    (
        "retention-orders",
        r#"// A node with this role has erased what the registers of its organisation keep no longer, and no agent does it for it.
permit (
  principal in Role::"retention",
  action == Action::"erasure-order",
  resource is Register
) when {
  resource.custodian == principal.organisation && context.signer == principal
};
"#,
    ),
];
