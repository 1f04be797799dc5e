//! Shapes that several venues share.

use crate::{
    json::{Cursor, Parsed},
    model::{Decimal, Level},
};

/// `[["price","qty",…],…]`: what follows the quantity (OKX's order count, Kraken's time) is passed over.
pub(crate) fn levels(cursor: &mut Cursor<'_>) -> Parsed<Vec<Level>> {
    let mut levels = Vec::new();
    cursor.array(|cursor| {
        levels.push(level(cursor)?);
        Ok(())
    })?;
    Ok(levels)
}

/// `["price","qty",…]`.
pub(crate) fn level(cursor: &mut Cursor<'_>) -> Parsed<Level> {
    let (mut price, mut qty, mut at) = (None, None, 0);
    cursor.array(|cursor| {
        match at {
            0 => price = Some(cursor.decimal()?),
            1 => qty = Some(cursor.decimal()?),
            _ => cursor.skip()?,
        }
        at += 1;
        Ok(())
    })?;
    match (price, qty) {
        (Some(price), Some(qty)) => Ok(Level { price, qty }),
        _ => cursor.expected("a price and a quantity"),
    }
}

/// A field that must have been there.
pub(crate) fn required<T>(cursor: &Cursor<'_>, field: Option<T>, name: &'static str) -> Parsed<T> {
    match field {
        Some(value) => Ok(value),
        None => cursor.expected(name),
    }
}

/// A level of two fields.
pub(crate) fn both(cursor: &Cursor<'_>, price: Option<Decimal>, qty: Option<Decimal>) -> Parsed<Level> {
    let price = required(cursor, price, "a price")?;
    Ok(Level { price, qty: required(cursor, qty, "a quantity")? })
}
