//! Sums and products that are exact or fail. [`Decimal`]'s own operators round where 28 digits do not suffice, and an account that
//! rounds does not add up.

use rust_decimal::Decimal;

/// `a + b`; `None` where it has more digits than a [`Decimal`] holds.
pub fn add(a: Decimal, b: Decimal) -> Option<Decimal> {
    let (a, b) = (a.normalize(), b.normalize());
    let sum = a.checked_add(b)?;
    let is_exact = a.is_zero() || b.is_zero() || sum.scale() >= a.scale().max(b.scale());
    is_exact.then(|| sum.normalize())
}

/// `a − b`, likewise.
pub fn sub(a: Decimal, b: Decimal) -> Option<Decimal> {
    add(a, -b)
}

/// `a · b`, likewise.
pub fn mul(a: Decimal, b: Decimal) -> Option<Decimal> {
    let (a, b) = (a.normalize(), b.normalize());
    if a.is_zero() || b.is_zero() {
        return Some(Decimal::ZERO);
    }
    let product = a.checked_mul(b)?;
    (product.scale() == a.scale() + b.scale()).then(|| product.normalize())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The value times 10^56 as a pair that big integers would need is out of reach; small mantissas show the rule, large ones the edge.
    fn decimal() -> impl Strategy<Value = Decimal> {
        (-(1_i64 << 40)..(1 << 40), 0_u32..12).prop_map(|(mantissa, scale)| Decimal::new(mantissa, scale))
    }

    fn scaled(value: Decimal, scale: u32) -> Option<i128> {
        value.mantissa().checked_mul(10_i128.checked_pow(scale.checked_sub(value.scale())?)?)
    }

    proptest! {
        #[test]
        fn what_is_given_is_the_integers_result(a in decimal(), b in decimal()) {
            if let Some(sum) = add(a, b) {
                prop_assert_eq!(scaled(sum, 12), Some(scaled(a, 12).unwrap() + scaled(b, 12).unwrap()));
            }
            if let Some(product) = mul(a, b) {
                prop_assert_eq!(scaled(product, a.scale() + b.scale()), Some(a.mantissa() * b.mantissa()));
            }
        }
    }

    #[test]
    fn what_would_be_rounded_is_none() {
        let tiny = Decimal::new(1, 20);
        assert_eq!(add(Decimal::from(1_000_000_000_000_u64), tiny), None);
        assert_eq!(mul(tiny, tiny), None);
        assert_eq!(mul(tiny, Decimal::new(10, 0)), Some(Decimal::new(1, 19)));
        assert_eq!(add(Decimal::MAX, Decimal::MAX), None);
        assert_eq!(sub(Decimal::ONE, Decimal::ONE), Some(Decimal::ZERO));
    }
}
