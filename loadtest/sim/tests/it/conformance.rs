use std::rc::Rc;

use tickwire_backplane::{
    conformance::Nodes,
    redis::{RedisBackplane, RedisConfig},
};
use tickwire_sim::{redis, world};

fn on_the_model(claim: impl AsyncFnOnce(Nodes) + 'static) {
    let mut sim = world::begin(1);
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
