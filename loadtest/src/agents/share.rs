//! Each agent's part of a run.

use crate::{agents::AgentError, settings::Settings};

/// Channels of a whole run.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// In all.
    pub channels: u32,
    /// Of each client.
    pub channels_per_client: u32,
}

/// Splits `settings` into one part an agent. What a client gets does not change: connections, connects a second, churn
/// and channels are divided, the rate of a channel is not. Each part has names and channels of its own, so that
/// each agent can account for all that its clients see; where there are fewer channels than agents, each has one, and more
/// is published in all. `layout` is what the scenario takes where `settings` say nothing.
pub fn share(settings: &Settings, layout: Layout, prefix: &str, agents: usize) -> Result<Vec<Settings>, AgentError> {
    let refused = || AgentError::Split { connections: settings.connections, agents };
    let count = u32::try_from(agents).ok().filter(|&count| count > 0).ok_or_else(refused)?;
    if settings.connections < count {
        return Err(refused());
    }
    let parts = (0..count).map(|index| {
        let part = |whole: u32| whole / count + u32::from(index < whole % count);
        let channels = part(layout.channels).max(layout.channels_per_client).max(1);
        Settings {
            connections: part(settings.connections),
            connect_rate: part(settings.connect_rate).max(1),
            channels: Some(channels),
            channels_per_client: Some(layout.channels_per_client),
            churn_rate: settings.churn_rate.map(|rate| rate / f64::from(count)),
            prefix: Some(format!("{prefix}-{index}")),
            secret: None,
            token: None,
            api_key: None,
            ..settings.clone()
        }
    });
    Ok(parts.collect())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        settings: Settings,
    }

    const TICKS: Layout = Layout { channels: 50, channels_per_client: 10 };

    fn settings(words: &[&str]) -> Settings {
        let always = ["test", "--scenario", "ticks", "--target", "ws://127.0.0.1:8000", "--secret", "a secret"];
        Flags::try_parse_from(always.iter().chain(words)).map(|flags| flags.settings).expect("flags of the test")
    }

    #[test]
    fn the_parts_make_the_whole() {
        let whole = settings(&["--connections", "1000", "--connect-rate", "200", "--churn-rate", "9"]);
        let parts = share(&whole, TICKS, "run", 3).unwrap();
        let sum = |of: fn(&Settings) -> u32| parts.iter().map(of).sum::<u32>();
        assert_eq!(sum(|part| part.connections), 1_000);
        assert_eq!(sum(|part| part.connect_rate), 200);
        assert_eq!(sum(|part| part.channels.unwrap()), 50);
        assert!(parts.iter().all(|part| part.churn_rate == Some(3.0) && part.rate == whole.rate));
    }

    #[test]
    fn names_differ_and_secrets_stay() {
        let parts = share(&settings(&[]), TICKS, "run", 2).unwrap();
        assert_eq!(parts.iter().map(|part| part.prefix.as_deref().unwrap()).collect::<Vec<_>>(), ["run-0", "run-1"]);
        let sent = serde_json::to_string(&parts).unwrap();
        assert!(!sent.contains("a secret"));
    }

    #[test]
    fn an_agent_without_a_client_is_refused() {
        assert!(share(&settings(&["--connections", "2"]), TICKS, "run", 3).is_err());
        assert!(share(&settings(&[]), TICKS, "run", 0).is_err());
    }

    #[test]
    fn a_channel_for_each_agent_is_the_least() {
        let one = Layout { channels: 1, channels_per_client: 1 };
        let parts = share(&settings(&[]), one, "run", 3).unwrap();
        assert!(parts.iter().all(|part| part.channels == Some(1)));
    }
}
