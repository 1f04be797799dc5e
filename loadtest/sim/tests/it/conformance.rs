use std::{rc::Rc, time::Duration};

use tickwire_backplane::{
    conformance::Nodes,
    redis::{RedisBackplane, RedisConfig},
};
use tickwire_sim::{redis, world};

/// The simulated wall clock begins with 1970. Claims publish as of a minute ago, and no time before time has a deadline.
const HEAD_START: Duration = Duration::from_secs(65);

fn on_the_model(claim: impl AsyncFnOnce(Nodes) + 'static) {
    let mut sim = world::begin(1);
    while sim.elapsed() < HEAD_START {
        sim.step().unwrap();
    }
    sim.host("redis", || redis::serve(Rc::default()).map_err_box());
    sim.client("test", async move {
        let url = format!("redis://{}:{}", turmoil::lookup("redis"), redis::PORT);
        let one = RedisBackplane::connect(RedisConfig::new(&url)).await?;
        let two = RedisBackplane::connect(RedisConfig::new(&url)).await?;
        claim(Nodes::new(one, two)).await;
        Ok(())
    });
    sim.run().unwrap();
}

trait MapErrBox {
    async fn map_err_box(self) -> turmoil::Result;
}

impl<F: Future<Output = std::io::Result<()>>> MapErrBox for F {
    async fn map_err_box(self) -> turmoil::Result {
        Ok(self.await?)
    }
}

tickwire_backplane::conformance_tests!(by on_the_model);
