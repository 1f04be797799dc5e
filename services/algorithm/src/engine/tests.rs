use rust_decimal::Decimal;
use tickwire_protocol::RawJson;
use tickwire_trading::{Session, account::OrderStatus};

use super::*;
use crate::{
    agent::Signal,
    market::{Market, Source},
};

/// A bot of `parameters` at one market, with its journal.
struct Rig {
    engine: Engine,
    market: Market,
    journal: Vec<Entry>,
    now: u64,
}

fn session(algorithm: &str, parameters: &str) -> Session {
    serde_json::from_value(serde_json::json!({
        "sessionId": "s1", "userId": "7", "algorithmId": algorithm, "parameters": serde_json::from_str::<serde_json::Value>(parameters).unwrap(),
        "symbols": ["okx:BTC/USDT"], "capital": "10000", "limits": {"lossLimit": "1000"}, "status": "active",
        "createdAt": 1, "startedAt": 1, "updatedAt": 1, "version": 2,
    }))
    .unwrap()
}

fn btc() -> Instrument {
    Instrument::new("okx:BTC/USDT").unwrap()
}

impl Rig {
    fn new(parameters: &str) -> Self {
        let bot = Bot::of(&session("book-imbalance", parameters)).unwrap();
        Self { engine: Engine::new(bot, Status::Active), market: Market::new(btc()), journal: Vec::new(), now: 1_000 }
    }

    /// One entry after the other happens.
    fn happen(&mut self, entries: Vec<Entry>) -> Vec<String> {
        for entry in &entries {
            self.engine.apply(entry).unwrap();
        }
        let words = entries.iter().map(word).collect();
        self.journal.extend(entries);
        words
    }

    /// A second later the book is this.
    fn book(&mut self, bids: &[(&str, &str)], asks: &[(&str, &str)]) -> Vec<String> {
        self.now += 1_000;
        let book = serde_json::json!({"type": "book", "kind": "snapshot", "state": "live", "bids": bids, "asks": asks});
        self.market.take(Source::Book, &RawJson::parse(book.to_string()).unwrap(), self.now).unwrap();
        self.engine.see(self.market.quote(), self.now);
        let entries = self.engine.evaluate(&btc(), self.now);
        self.happen(entries)
    }

    fn bullish(&mut self) -> Vec<String> {
        self.book(&[("99", "90")], &[("100", "50"), ("101", "1")])
    }

    fn tick(&mut self, ms: u64) -> Vec<String> {
        self.now += ms;
        let entries = self.engine.tick(self.now);
        self.happen(entries)
    }

    fn quantity(&self) -> Decimal {
        self.engine.account().position(&btc()).map(tickwire_trading::account::Position::quantity).unwrap_or_default()
    }

    /// Whoever applies the journal has the same account.
    fn agrees_with_its_journal(&self) {
        let bot = Bot::of(&session("book-imbalance", "{}")).unwrap();
        let mut rebuilt = Engine::new(bot, Status::Active);
        for entry in &self.journal {
            let json = serde_json::to_string(entry).unwrap();
            rebuilt.apply(&serde_json::from_str(&json).unwrap()).unwrap();
        }
        let (mine, theirs) = (self.engine.account(), rebuilt.account());
        assert_eq!((mine.cash(), mine.fees(), mine.realized()), (theirs.cash(), theirs.fees(), theirs.realized()));
        assert_eq!((mine.orders(), mine.fills()), (theirs.orders(), theirs.fills()));
        assert!(mine.open_orders().eq(theirs.open_orders()));
    }
}

fn word(entry: &Entry) -> String {
    match entry {
        Entry::Decided { decision } => decision.action.as_str().to_owned(),
        Entry::Account { event: Event::Placed(order) } => format!("place {} {}", order.side, order.quantity),
        Entry::Account { event: Event::Filled(fill) } => format!("fill {} at {}", fill.quantity, fill.price),
        Entry::Account { event: Event::Cancelled { order, .. } } => format!("cancel {order}"),
        Entry::Signalled { state, .. } | Entry::Answered { state, .. } => match state {
            SignalState::Refused { reason } => format!("refused: {reason}"),
            other => format!("{other:?}").split(' ').next().unwrap_or_default().to_lowercase(),
        },
        Entry::Opened { .. } | Entry::Told { .. } | Entry::Finished { .. } => "other".to_owned(),
    }
}

const CALM: &str = r#"{"entry":0.25,"execution":{"evaluateMs":0,"cooldownMs":0,"stopLoss":null,"takeProfit":null}}"#;

#[test]
fn a_decision_becomes_an_order_a_fill_and_a_position_at_once() {
    let mut rig = Rig::new(CALM);
    assert_eq!(rig.bullish(), ["buy", "place buy 10", "fill 10 at 100"]);
    assert_eq!(rig.quantity(), Decimal::from(10));
    assert_eq!(rig.bullish(), ["hold"], "what is wanted is held");
    assert_eq!(rig.bullish(), Vec::<String>::new(), "and told once");
    assert_eq!(rig.book(&[("99", "1")], &[("100", "50")]), ["close_position", "place sell 10", "fill 1 at 99"]);
    assert_eq!(rig.book(&[("98", "20")], &[("100", "50")]), ["fill 9 at 98", "hold"]);
    assert!(rig.engine.account().is_flat());
    rig.agrees_with_its_journal();
}

#[test]
fn a_position_that_lost_as_much_as_it_may_is_closed() {
    let mut rig = Rig::new(r#"{"entry":0.25,"execution":{"evaluateMs":0,"stopLoss":"0.05","takeProfit":"0.05"}}"#);
    rig.bullish();
    assert_eq!(rig.book(&[("95", "90")], &[("97", "50")]), ["hold"], "4 % is not 5");
    assert_eq!(rig.book(&[("94", "90")], &[("95", "50")]), ["close_position", "place sell 10", "fill 10 at 94"]);
    let Some(Entry::Decided { decision }) = rig.journal.iter().rfind(|entry| matches!(entry, Entry::Decided { .. }))
    else {
        panic!("no decision")
    };
    assert_eq!(decision.origin, Origin::StopLoss);
    assert!(decision.reasoning.contains("5.5 %"), "{}", decision.reasoning);
}

#[test]
fn a_position_that_gained_enough_or_was_held_too_long_is_closed() {
    let execution =
        r#"{"entry":0.25,"execution":{"evaluateMs":0,"takeProfit":"0.05","holdMsMax":60000,"staleMs":600000}}"#;
    let mut rig = Rig::new(execution);
    rig.bullish();
    assert_eq!(rig.book(&[("105", "90")], &[("106", "50")])[0], "close_position");
    let mut rig = Rig::new(execution);
    rig.bullish();
    rig.bullish();
    assert_eq!(rig.tick(50_000), Vec::<String>::new());
    assert_eq!(rig.tick(9_000)[..2], ["close_position", "place sell 10"]);
}

#[test]
fn nothing_is_traded_with_a_book_that_is_stale_or_suspect() {
    let mut rig = Rig::new(CALM);
    rig.book(&[("99", "5")], &[("100", "5")]);
    let state = RawJson::parse(r#"{"type":"book","kind":"state","state":"suspect"}"#.to_owned()).unwrap();
    rig.market.take(Source::Book, &state, rig.now).unwrap();
    rig.engine.see(rig.market.quote(), rig.now);
    assert!(rig.engine.evaluate(&btc(), rig.now).is_empty());
    let flattening = Rig::new(CALM);
    let mut rig = flattening;
    rig.bullish();
    rig.now += 60_000;
    let entries = rig.engine.flatten("enough", rig.now);
    assert_eq!(rig.happen(entries), ["close_position", "place sell 10"], "the order waits for a book");
    assert_eq!(rig.book(&[("99", "90")], &[("100", "50")]), ["fill 10 at 99"]);
}

#[test]
fn the_rest_of_an_entry_is_cancelled_when_its_time_is_over() {
    let mut rig = Rig::new(CALM);
    assert_eq!(rig.book(&[("99", "90")], &[("100", "4"), ("110", "40")]), ["buy", "place buy 10", "fill 4 at 100"]);
    assert_eq!(rig.engine.account().open_orders().next().unwrap().status, OrderStatus::PartiallyFilled);
    assert_eq!(rig.book(&[("99", "90")], &[("100", "4"), ("110", "40")]), Vec::<String>::new(), "the level is used up");
    assert_eq!(rig.tick(5_000)[0], "cancel 1");
    rig.agrees_with_its_journal();
}

#[test]
fn a_session_that_is_over_is_flattened_and_a_paused_one_left_alone() {
    let mut rig = Rig::new(CALM);
    rig.bullish();
    rig.engine.set_status(Status::Paused);
    assert_eq!(rig.book(&[("99", "1")], &[("100", "50")]), Vec::<String>::new());
    rig.engine.set_status(Status::EmergencyStopped);
    assert_eq!(rig.tick(1), ["close_position", "place sell 10", "fill 1 at 99"]);
    let again = rig.engine.flatten("again", rig.now);
    assert!(again.is_empty(), "a repeated order to flatten changes nothing");
    assert_eq!(rig.book(&[("98", "90")], &[("100", "5")]), ["fill 9 at 98"]);
    assert_eq!(rig.bullish(), Vec::<String>::new(), "nothing is opened any more");
    assert!(rig.engine.figures(1).unwrap().is_flat());
}

#[test]
fn an_entry_costs_no_more_than_there_is() {
    let mut rig = Rig::new(r#"{"entry":0.25,"execution":{"evaluateMs":0,"cooldownMs":0,"entryShare":"1"}}"#);
    rig.book(&[("99", "900")], &[("100", "500")]);
    let figures = rig.engine.figures(1).unwrap();
    assert!(figures.cash >= Decimal::ZERO && figures.exposure <= Decimal::from(10_000), "{figures:?}");
    assert!(figures.exposure > Decimal::from(9_800));
}

fn signal(id: &str, agent: &str, action: Action, quantity: Option<&str>) -> Signal {
    serde_json::from_value(serde_json::json!({
        "id": id, "agent": agent, "symbol": "okx:BTC/USDT", "action": action, "quantity": quantity, "confidence": 0.9,
        "reasoning": "news",
    }))
    .unwrap()
}

const AGENTS: &str = r#"{"entry":1.0,"execution":{"evaluateMs":0,"cooldownMs":0,"staleMs":600000},"agents":{
    "free":{"autonomy":"autonomous","quantityMax":"2"},"asking":{"autonomy":"approval","approvalMs":5000},
    "telling":{"autonomy":"advisory"},"narrow":{"autonomy":"autonomous","actions":["close_position"]}}}"#;

impl Rig {
    fn hear(&mut self, signal: Signal) -> Vec<String> {
        let entries = self.engine.hear(signal, self.now).unwrap();
        self.happen(entries)
    }

    fn answer(&mut self, id: &str, is_yes: bool) -> Result<Vec<String>, SignalRefusal> {
        let entries = self.engine.answer(&Name::new(id).unwrap(), is_yes, self.now)?;
        Ok(self.happen(entries))
    }
}

#[test]
fn an_agents_autonomy_decides_what_becomes_of_its_signal() {
    let mut rig = Rig::new(AGENTS);
    rig.book(&[("99", "5")], &[("100", "5")]);
    assert_eq!(rig.hear(signal("1", "telling", Action::Buy, None)), ["shown"]);
    assert_eq!(
        rig.hear(signal("2", "free", Action::Buy, Some("1"))),
        ["executed", "buy", "place buy 1", "fill 1 at 100"]
    );
    assert_eq!(rig.hear(signal("2", "free", Action::Buy, Some("1"))), Vec::<String>::new(), "a signal counts once");
    assert_eq!(rig.hear(signal("3", "asking", Action::ClosePosition, None)), ["waiting"]);
    assert_eq!(rig.answer("3", true).unwrap(), ["executed", "close_position", "place sell 1", "fill 1 at 99"]);
    assert_eq!(rig.answer("3", true).unwrap(), Vec::<String>::new(), "an answer counts once");
    assert_eq!(rig.answer("3", false), Err(SignalRefusal::NotWaiting));
    assert_eq!(rig.answer("9", true), Err(SignalRefusal::Unknown));
    rig.agrees_with_its_journal();
}

#[test]
fn what_an_agent_may_not_do_is_refused_with_a_reason() {
    let mut rig = Rig::new(AGENTS);
    rig.book(&[("99", "5")], &[("100", "5")]);
    let refused = |words: Vec<String>, what: &str| {
        assert!(words[0].starts_with("refused: ") && words[0].contains(what), "{words:?}");
    };
    refused(rig.hear(signal("1", "stranger", Action::Buy, None)), "no such agent");
    refused(rig.hear(signal("2", "free", Action::Buy, Some("3"))), "at most 2");
    refused(rig.hear(signal("3", "narrow", Action::Buy, None)), "may not ask for `buy`");
    refused(rig.hear(signal("4", "narrow", Action::ClosePosition, None)), "nothing of");
    refused(rig.hear(signal("5", "free", Action::Sell, None)), "may not be short");
    rig.engine.set_status(Status::Paused);
    refused(rig.hear(signal("6", "free", Action::Buy, None)), "paused");
}

#[test]
fn nobodys_answer_is_a_no() {
    let mut rig = Rig::new(AGENTS);
    rig.book(&[("99", "5")], &[("100", "5")]);
    rig.hear(signal("1", "asking", Action::Buy, None));
    rig.hear(signal("2", "asking", Action::Buy, None));
    assert_eq!(rig.answer("1", false).unwrap(), ["declined"]);
    assert_eq!(rig.engine.waiting().count(), 1);
    rig.now += 5_000;
    assert_eq!(rig.answer("2", true).unwrap(), ["expired"], "late is too late");
    rig.hear(signal("3", "asking", Action::Buy, None));
    assert_eq!(rig.tick(5_000), ["expired"]);
    assert!(rig.engine.account().is_flat());
}
