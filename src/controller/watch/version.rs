//! `uid/resourceVersion` of an object, in little room.

/// `uid/resourceVersion` of an object. Equal exactly if the texts are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// Of the shape that API servers give: a UUID in lower case, and a number.
    Usual([u8; 16], u64),
    /// Any other text.
    Other(Box<str>),
}

impl Version {
    fn usual(text: &str) -> Option<Self> {
        let (uid, version) = text.split_once('/')?;
        let bytes = bytes_of(uid)?;
        let number = version.parse::<u64>().ok().filter(|number| number.to_string() == version)?;
        Some(Self::Usual(bytes, number))
    }
}

impl From<&str> for Version {
    fn from(text: &str) -> Self {
        Self::usual(text).unwrap_or_else(|| Self::Other(text.into()))
    }
}

/// The bytes of a UUID, if the text is what they would be written as.
fn bytes_of(uuid: &str) -> Option<[u8; 16]> {
    let is_dash = |place: usize| matches!(place, 8 | 13 | 18 | 23);
    let as_written = |(place, byte): (usize, u8)| match byte {
        b'-' => is_dash(place),
        b'0'..=b'9' | b'a'..=b'f' => !is_dash(place),
        _ => false,
    };
    if uuid.len() != 36 || !uuid.bytes().enumerate().all(as_written) {
        return None;
    }
    let number = u128::from_str_radix(&uuid.replace('-', ""), 16).ok()?;
    Some(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_equal_exactly_if_their_texts_are() {
        let texts = [
            "8f14e45f-ceea-467f-a8b9-5c2f1d3e6a70/12345",
            "8f14e45f-ceea-467f-a8b9-5c2f1d3e6a70/12346",
            "8f14e45f-ceea-467f-a8b9-5c2f1d3e6a71/12345",
            "8F14E45F-CEEA-467F-A8B9-5C2F1D3E6A70/12345",
            "8f14e45fceea467fa8b95c2f1d3e6a70/12345",
            "-8f14e45ceea-467f-a8b9-5c2f1d3e6a70f/12345",
            "8f14e45f-ceea-467f-a8b9-5c2f1d3e6a70/012345",
            "8f14e45f-ceea-467f-a8b9-5c2f1d3e6a70/+12345",
            "8f14e45f-ceea-467f-a8b9-5c2f1d3e6a70/",
            "8f14e45f-ceea-467f-a8b9-5c2f1d3e6a70",
            "u1/v1",
            "",
        ];
        for (place, one) in texts.iter().enumerate() {
            for (other_place, other) in texts.iter().enumerate() {
                assert_eq!(Version::from(*one) == Version::from(*other), place == other_place, "{one} {other}");
            }
        }
        assert!(matches!(Version::from(texts[0]), Version::Usual(..)));
        assert!(texts[3..].iter().all(|text| matches!(Version::from(*text), Version::Other(_))));
    }
}
