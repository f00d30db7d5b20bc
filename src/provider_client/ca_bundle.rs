//! The CA certificates in a PEM file.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The certificates of a PEM file. One that cannot be read does not make the others useless.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaBundle {
    /// The certificates that can be read, in DER.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Which `CERTIFICATE` blocks of the file cannot be read. The first block is 1.
    pub bad_blocks: Vec<usize>,
}

impl CaBundle {
    /// Reads the `CERTIFICATE` blocks. Text and other blocks between them are ignored.
    pub fn parse(pem: &[u8]) -> Self {
        let mut bundle = Self::default();
        for (index, block) in blocks(pem).iter().enumerate() {
            match certificate(block) {
                Some(certificate) => bundle.certificates.push(certificate),
                None => bundle.bad_blocks.push(index + 1),
            }
        }
        bundle
    }
}

/// The text of each block that begins, with one line for each line of the file. A block without an end reaches to the
/// next one.
fn blocks(pem: &[u8]) -> Vec<Vec<u8>> {
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    let mut is_inside = false;
    for line in pem.strip_prefix(BYTE_ORDER_MARK).unwrap_or(pem).split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        if line == BEGIN {
            blocks.push(Vec::new());
            is_inside = true;
        }
        if is_inside && let Some(block) = blocks.last_mut() {
            block.extend_from_slice(line);
            block.push(b'\n');
        }
        is_inside &= line != END;
    }
    blocks
}

fn certificate(block: &[u8]) -> Option<CertificateDer<'static>> {
    let certificate = CertificateDer::from_pem_slice(block).ok()?;
    // The same check as the client's: it would refuse all certificates because of one.
    RootCertStore::empty().add(certificate.clone()).ok()?;
    Some(certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&key).unwrap().pem()
    }

    fn counts(text: &str) -> (usize, Vec<usize>) {
        let bundle = CaBundle::parse(text.as_bytes());
        (bundle.certificates.len(), bundle.bad_blocks)
    }

    #[test]
    fn one_bad_block_is_named_by_its_position_and_the_others_are_used() {
        let (first, second) = (pem(), pem());
        let not_a_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let not_base64 = "-----BEGIN CERTIFICATE-----\n%%%%\n-----END CERTIFICATE-----\n";
        let cut = first.split_once("-----END").unwrap().0;
        for bad in [not_a_certificate, not_base64, cut] {
            assert_eq!(counts(&format!("{first}{bad}{second}")), (2, vec![2]), "{bad}");
        }
        assert_eq!(counts(&format!("{cut}{second}{not_base64}")), (1, vec![1, 3]));
        assert_eq!(counts(&format!("{first}{cut}")), (1, vec![2]), "the end of the file is missing");
    }

    #[test]
    fn text_between_blocks_other_blocks_and_the_form_of_lines_do_not_matter() {
        let (first, second) = (pem(), pem());
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let text = format!("# Our CA\nsubject=CN = a\n{first}{key}{second}");
        assert_eq!(counts(&text), (2, vec![]));
        assert_eq!(counts(&text.replace('\n', "\r\n")), (2, vec![]));
        assert_eq!(counts(&text.replace('\n', "\n  ")), (2, vec![]));
        assert_eq!(counts(&format!("\u{feff}{first}")), (1, vec![]));
        for empty in ["", "\n", "no certificate", key.as_str()] {
            assert_eq!(counts(empty), (0, vec![]), "{empty}");
        }
    }
}
