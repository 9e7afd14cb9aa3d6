//! Parsing JSON of strangers without building a tree of values: a tree takes many times the memory
//! of its text.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// Checks that a text is one JSON document that [`serde_json::Value`] could hold: strings, numbers
/// and the depth (at most 127 levels) included. Nothing is kept.
///
/// # Errors
/// The first fault, with its line and column.
pub fn check(text: &[u8]) -> serde_json::Result<()> {
    serde_json::from_slice::<WellFormed>(text).map(|_| ())
}

/// A JSON document without the whitespace between its tokens, and so on one line.
pub fn compact(document: &str) -> String {
    let mut compact = String::with_capacity(document.len());
    let (mut is_in_string, mut is_escaped) = (false, false);
    // A line break inside a string is always escaped, so every other one is between tokens.
    compact.extend(document.chars().filter(|letter| {
        match (is_in_string, is_escaped, letter) {
            (true, false, '\\') => is_escaped = true,
            (_, false, '"') => is_in_string = !is_in_string,
            _ => is_escaped = false,
        }
        is_in_string || !matches!(letter, ' ' | '\t' | '\n' | '\r')
    }));
    compact
}

/// Any JSON value, read to its end. Unlike [`IgnoredAny`], it checks what it reads.
struct WellFormed;

impl<'de> Deserialize<'de> for WellFormed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for WellFormed {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        while fields.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

/// A `T` that is written as a JSON object. serde alone would also accept an array for a struct and
/// take its items as the fields in their order; no client may come to rely on that order.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields))
    }
}

/// Deserializes an optional field that is an [`Object`].
///
/// # Errors
/// If it is anything else.
pub fn optional_object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Object<T>>::deserialize(deserializer)?.map(|Object(value)| value))
}

/// Deserializes an optional object; without one, the result is the default.
///
/// # Errors
/// As [`optional_object`].
pub fn object_or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(optional_object(deserializer)?.unwrap_or_default())
}

/// Deserializes an optional list of at most `MAX` items.
///
/// # Errors
/// If it is no list, or at the first item that is too many.
pub fn optional_list<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Bounded<Vec<T>, MAX>>::deserialize(deserializer)?.map(|Bounded(items)| items))
}

/// Deserializes an optional list of at most `MAX` items, each an [`Object`].
///
/// # Errors
/// As [`optional_list`], or if an item is no object.
pub fn optional_objects<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let objects = optional_list::<D, Object<T>, MAX>(deserializer)?;
    Ok(objects.map(|objects| objects.into_iter().map(|Object(value)| value).collect()))
}

/// Deserializes an optional object with at most `MAX` texts.
///
/// # Errors
/// If it is no such object, or at the first field that is too many.
pub fn optional_texts<'de, D, const MAX: usize>(
    deserializer: D,
) -> Result<Option<BTreeMap<String, String>>, D::Error>
where
    D: Deserializer<'de>,
{
    let texts = Option::<Bounded<BTreeMap<String, String>, MAX>>::deserialize(deserializer)?;
    Ok(texts.map(|Bounded(texts)| texts))
}

/// A collection of at most `MAX` items. A larger one is refused at the first item that is too
/// many, before the rest is read.
struct Bounded<C, const MAX: usize>(C);

struct BoundedVisitor<C, const MAX: usize>(PhantomData<C>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Bounded<Vec<T>, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BoundedVisitor::<Vec<T>, MAX>(PhantomData))
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Bounded<BTreeMap<String, String>, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BoundedVisitor::<BTreeMap<String, String>, MAX>(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for BoundedVisitor<Vec<T>, MAX> {
    type Value = Bounded<Vec<T>, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = vec![];
        while items.len() < MAX {
            let Some(item) = list.next_element()? else { return Ok(Bounded(items)) };
            items.push(item);
        }
        match list.next_element::<IgnoredAny>()? {
            None => Ok(Bounded(items)),
            Some(_) => Err(too_many::<A::Error, MAX>()),
        }
    }
}

impl<'de, const MAX: usize> Visitor<'de> for BoundedVisitor<BTreeMap<String, String>, MAX> {
    type Value = Bounded<BTreeMap<String, String>, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut texts = BTreeMap::new();
        while let Some((name, text)) = fields.next_entry()? {
            texts.insert(name, text);
            if texts.len() > MAX {
                return Err(too_many::<A::Error, MAX>());
            }
        }
        Ok(Bounded(texts))
    }
}

fn too_many<E: serde::de::Error, const MAX: usize>() -> E {
    E::custom(format_args!("there are more than {MAX}; at most {MAX} are allowed"))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_same_texts_are_well_formed_as_for_a_value() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        for text in [
            r#"{"a":[1,-2,3.5e3,"\u00e9\n",null,true,{}]}"#,
            r#""\ud800""#,
            "1e999",
            "[1,]",
            "{} x",
            "",
            "\"\u{1}\"",
            "[\"a\nb\"]",
            "18446744073709551616",
            &deep(127),
            &deep(128),
            &deep(100_000),
        ] {
            let value = serde_json::from_str::<Value>(text).map(|_| ()).map_err(|error| error.to_string());
            assert_eq!(check(text.as_bytes()).map_err(|error| error.to_string()), value, "{text:.80}");
        }
    }

    #[test]
    fn only_whitespace_between_tokens_is_left_out() {
        for (document, expected) in [
            ("{ \"a\" :\r\n [1 ,\t2.50] }", "{\"a\":[1,2.50]}"),
            (r#"[" \" ", "\\" , " \\\" "]"#, r#"[" \" ","\\"," \\\" "]"#),
        ] {
            assert_eq!(compact(document), expected);
            let value: Value = serde_json::from_str(document).unwrap();
            assert_eq!(serde_json::from_str::<Value>(expected).unwrap(), value);
        }
    }

    #[test]
    fn a_list_ends_at_its_bound() {
        #[derive(Deserialize)]
        struct Lists {
            #[serde(default, deserialize_with = "optional_list::<_, _, 2>")]
            numbers: Option<Vec<u8>>,
            #[serde(default, deserialize_with = "optional_texts::<_, 1>")]
            texts: Option<BTreeMap<String, String>>,
        }
        let parse = |text| serde_json::from_str::<Lists>(text);
        assert_eq!(parse(r#"{"numbers":[1,2]}"#).unwrap().numbers.unwrap(), [1, 2]);
        assert_eq!(parse(r#"{"texts":{"a":"b"}}"#).unwrap().texts.unwrap()["a"], "b");
        assert!(parse(r#"{"numbers":null}"#).unwrap().numbers.is_none());
        for text in [r#"{"numbers":[1,2,3]}"#, r#"{"texts":{"a":"","b":""}}"#] {
            assert!(parse(text).err().unwrap().to_string().contains("there are more than"), "{text}");
        }
        assert!(parse(r#"{"numbers":{}}"#).is_err() && parse(r#"{"texts":[]}"#).is_err());
    }
}
