//! Name constraints (RFC 5280 section 4.2.1.10): which names an authority may give.
//!
//! Names of a kind that is constrained and that nobody here can compare are refused.

use super::{
    certificate::Certificate,
    fault::Fault,
    name::{canonical, check, is_domain, mail_addresses, mailbox, shown, uri_domain},
};
use x509_cert::{
    der::asn1::Ia5String,
    ext::pkix::{
        NameConstraints,
        constraints::name::{GeneralSubtree, GeneralSubtrees},
        name::GeneralName,
    },
    name::Name,
};

/// Checks the grammar of constraints.
pub(super) fn check_constraints(constraints: &NameConstraints) -> Result<(), Fault> {
    let lists = [&constraints.permitted_subtrees, &constraints.excluded_subtrees];
    if lists.iter().all(|list| list.is_none()) || lists.iter().any(|list| list.as_ref().is_some_and(Vec::is_empty)) {
        return Err(Fault::ExtensionMalformed("name constraints"));
    }
    lists.into_iter().flatten().flatten().try_for_each(check_subtree)
}

fn check_subtree(subtree: &GeneralSubtree) -> Result<(), Fault> {
    let good = match &subtree.base {
        GeneralName::DnsName(base) => base.as_str().is_empty() || is_domain(base.as_str()),
        GeneralName::Rfc822Name(base) => {
            let base = base.as_str();
            mailbox(base).is_some() || is_domain(base.strip_prefix('.').unwrap_or(base))
        }
        GeneralName::UniformResourceIdentifier(base) => {
            is_domain(base.as_str().strip_prefix('.').unwrap_or(base.as_str()))
        }
        GeneralName::IpAddress(base) => is_block(base.as_bytes()),
        GeneralName::DirectoryName(_) => true,
        GeneralName::OtherName(_) | GeneralName::EdiPartyName(_) | GeneralName::RegisteredId(_) => true,
    };
    if good && subtree.minimum == 0 && subtree.maximum.is_none() {
        Ok(())
    } else {
        Err(Fault::Constraint(shown(&subtree.base)))
    }
}

/// Whether the bytes are an address and a mask of the same length, whose ones come first (RFC 4632).
fn is_block(bytes: &[u8]) -> bool {
    let (address, mask) = bytes.split_at(bytes.len() / 2);
    let mut ones = mask.iter().flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0)).skip_while(|one| *one);
    matches!(address.len(), 4 | 16) && address.len() == mask.len() && !ones.any(|one| one)
}

/// Checks every name in the certificate.
pub(super) fn permit(constraints: &NameConstraints, certificate: &Certificate) -> Result<(), Fault> {
    let subject = certificate.subject();
    if !subject.is_empty() {
        permit_name(constraints, &GeneralName::DirectoryName(subject.clone()))?;
    }
    for address in mail_addresses(subject) {
        let name = Ia5String::new(address).map_err(|_| Fault::Name(address.to_owned()))?;
        let name = GeneralName::Rfc822Name(name);
        check(&name)?;
        permit_name(constraints, &name)?;
    }
    certificate.alternative_names().iter().try_for_each(|name| permit_name(constraints, name))
}

fn permit_name(constraints: &NameConstraints, name: &GeneralName) -> Result<(), Fault> {
    let forbidden = || Fault::NameForbidden(shown(name));
    let of_kind = |list: &'_ Option<GeneralSubtrees>| -> Vec<GeneralName> {
        let same = |subtree: &&GeneralSubtree| std::mem::discriminant(&subtree.base) == std::mem::discriminant(name);
        list.iter().flatten().filter(same).map(|subtree| subtree.base.clone()).collect()
    };
    let excluded = of_kind(&constraints.excluded_subtrees);
    let permitted = of_kind(&constraints.permitted_subtrees);
    if excluded.iter().any(|base| within(name, base) != Some(false) || covers_some(name, base)) {
        return Err(forbidden());
    }
    if !permitted.is_empty() && !permitted.iter().any(|base| within(name, base) == Some(true)) {
        return Err(forbidden());
    }
    Ok(())
}

/// Whether the name lies in the subtree; none when that cannot be told.
fn within(name: &GeneralName, base: &GeneralName) -> Option<bool> {
    match (name, base) {
        (GeneralName::DnsName(name), GeneralName::DnsName(base)) => {
            let name = name.as_str();
            Some(domain_within(name.strip_prefix("*.").unwrap_or(name), base.as_str()))
        }
        (GeneralName::Rfc822Name(name), GeneralName::Rfc822Name(base)) => mail_within(name.as_str(), base.as_str()),
        (GeneralName::UniformResourceIdentifier(name), GeneralName::UniformResourceIdentifier(base)) => {
            uri_domain(name.as_str()).map(|domain| host_within(domain, base.as_str()))
        }
        (GeneralName::IpAddress(name), GeneralName::IpAddress(base)) => {
            Some(address_within(name.as_bytes(), base.as_bytes()))
        }
        (GeneralName::DirectoryName(name), GeneralName::DirectoryName(base)) => Some(directory_within(name, base)),
        _ => None,
    }
}

/// Whether a wildcard could stand for a name in the subtree although it does not lie there whole.
fn covers_some(name: &GeneralName, base: &GeneralName) -> bool {
    match (name, base) {
        (GeneralName::DnsName(name), GeneralName::DnsName(base)) => {
            name.as_str().strip_prefix("*.").is_some_and(|parent| domain_within(base.as_str(), parent))
        }
        _ => false,
    }
}

fn domain_within(name: &str, base: &str) -> bool {
    if base.is_empty() || name.eq_ignore_ascii_case(base) {
        return true;
    }
    let Some(at) = name.len().checked_sub(base.len() + 1) else { return false };
    let (_, tail) = name.split_at_checked(at).unwrap_or_default();
    tail.strip_prefix('.').is_some_and(|tail| tail.eq_ignore_ascii_case(base))
}

/// A host is itself; `.domain` is everything below it, and not the domain itself.
fn host_within(host: &str, base: &str) -> bool {
    match base.strip_prefix('.') {
        Some(domain) => domain_within(host, domain) && !host.eq_ignore_ascii_case(domain),
        None => host.eq_ignore_ascii_case(base),
    }
}

fn mail_within(name: &str, base: &str) -> Option<bool> {
    let (local, domain) = mailbox(name)?;
    Some(match mailbox(base) {
        Some((base_local, base_domain)) => local == base_local && domain.eq_ignore_ascii_case(base_domain),
        None => host_within(domain, base),
    })
}

fn address_within(address: &[u8], block: &[u8]) -> bool {
    let (base, mask) = block.split_at(block.len() / 2);
    address.len() == base.len()
        && address.iter().zip(base).zip(mask).all(|((address, base), mask)| address & mask == base & mask)
}

fn directory_within(name: &Name, base: &Name) -> bool {
    canonical(name).starts_with(&canonical(base))
}
