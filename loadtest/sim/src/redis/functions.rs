//! Redis Functions: the shipped Lua itself, in a Lua 5.1 as Redis has one, with `redis.call` bound to the model.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use mlua::{Function, Lua, Table, Value as LuaValue, Variadic};

use super::{resp::Reply, store::Bytes};
use crate::mutations::Mutation;

/// How a function reaches the server that runs it.
pub(crate) type Callback = Rc<dyn Fn(&[Bytes]) -> Reply>;

/// One server's Lua: upvalues of libraries live as long as it does.
pub(crate) struct Functions {
    lua: Lua,
    registered: Rc<RefCell<BTreeMap<String, Function>>>,
    mutation: Option<&'static Mutation>,
}

impl Functions {
    pub(crate) fn new(mutation: Option<&'static Mutation>, call: Callback) -> mlua::Result<Self> {
        let lua = Lua::new();
        let registered: Rc<RefCell<BTreeMap<String, Function>>> = Rc::default();
        let redis = lua.create_table()?;
        let pcall = Rc::clone(&call);
        redis.set(
            "call",
            lua.create_function(move |lua, args: Variadic<LuaValue>| match call(&words(&args)?) {
                Reply::Error(text) => Err(mlua::Error::runtime(text)),
                reply => to_lua(lua, &reply),
            })?,
        )?;
        redis.set(
            "pcall",
            lua.create_function(move |lua, args: Variadic<LuaValue>| to_lua(lua, &pcall(&words(&args)?)))?,
        )?;
        redis.set("error_reply", lua.create_function(|lua, text: mlua::String| table_of(lua, "err", &text))?)?;
        redis.set("status_reply", lua.create_function(|lua, text: mlua::String| table_of(lua, "ok", &text))?)?;
        let names = Rc::clone(&registered);
        redis.set(
            "register_function",
            lua.create_function(move |_, (name, function): (String, Function)| {
                names.borrow_mut().insert(name, function);
                Ok(())
            })?,
        )?;
        lua.globals().set("redis", redis)?;
        lua.globals().set("cjson", cjson(&lua)?)?;
        Ok(Self { lua, registered, mutation })
    }

    /// Takes a library in, in place of an older one. `source` begins with `#!lua name=`.
    pub(crate) fn load(&self, source: &str) -> Result<String, String> {
        let (head, body) = source.split_once('\n').ok_or("no library")?;
        let name = head.strip_prefix("#!lua name=").ok_or("Missing library metadata")?.trim();
        let body = match self.mutation {
            Some(mutation) => mutation.apply(body).ok_or("the mutation finds nothing to break")?,
            None => body.to_owned(),
        };
        self.lua.load(format!("\n{body}")).set_name(name).exec().map_err(|error| error.to_string())?;
        Ok(name.to_owned())
    }

    pub(crate) fn call(&self, name: &str, keys: &[Bytes], args: &[Bytes]) -> Reply {
        let Some(function) = self.registered.borrow().get(name).cloned() else {
            return Reply::error("Function not found");
        };
        let list = |items: &[Bytes]| {
            sequence(&self.lua, items.iter().map(|item| self.lua.create_string(item).map(LuaValue::String)))
        };
        let run = || function.call::<LuaValue>((list(keys)?, list(args)?));
        match run() {
            Ok(value) => from_lua(&value),
            Err(error) => Reply::error(error),
        }
    }
}

/// A list, made item by item: only so many values may be held outside of Lua at once.
fn sequence(lua: &Lua, items: impl Iterator<Item = mlua::Result<LuaValue>>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for item in items {
        table.raw_push(item?)?;
    }
    Ok(table)
}

fn table_of(lua: &Lua, key: &str, text: &mlua::String) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set(key, text)?;
    Ok(table)
}

fn words(args: &[LuaValue]) -> mlua::Result<Vec<Bytes>> {
    args.iter()
        .map(|arg| match arg {
            LuaValue::String(text) => Ok(text.as_bytes().to_vec()),
            LuaValue::Integer(number) => Ok(number.to_string().into_bytes()),
            LuaValue::Number(number) => Ok(number.to_string().into_bytes()),
            other => Err(mlua::Error::runtime(format!(
                "Command arguments must be strings or integers, not {}",
                other.type_name()
            ))),
        })
        .collect()
}

fn to_lua(lua: &Lua, reply: &Reply) -> mlua::Result<LuaValue> {
    Ok(match reply {
        Reply::Nil => LuaValue::Boolean(false),
        Reply::Int(number) => LuaValue::Integer(*number),
        Reply::Bulk(bytes) => LuaValue::String(lua.create_string(bytes)?),
        Reply::Status(text) => LuaValue::Table(table_of(lua, "ok", &lua.create_string(text)?)?),
        Reply::Error(text) => LuaValue::Table(table_of(lua, "err", &lua.create_string(text)?)?),
        Reply::Array(items) | Reply::Push(items) => {
            LuaValue::Table(sequence(lua, items.iter().map(|item| to_lua(lua, item)))?)
        }
        Reply::Map(_) => return Err(mlua::Error::runtime("scripts speak RESP2")),
    })
}

fn from_lua(value: &LuaValue) -> Reply {
    match value {
        LuaValue::String(text) => Reply::bulk(text.as_bytes()),
        LuaValue::Integer(number) => Reply::Int(*number),
        #[allow(clippy::cast_possible_truncation, reason = "Redis cuts numbers off as well")]
        LuaValue::Number(number) => Reply::Int(*number as i64),
        LuaValue::Boolean(true) => Reply::Int(1),
        LuaValue::Table(table) => match (table.raw_get::<Option<String>>("err"), table.raw_get::<Option<String>>("ok"))
        {
            (Ok(Some(text)), _) => Reply::Error(text),
            (_, Ok(Some(text))) => Reply::bulk(text),
            _ => Reply::Array(
                table.sequence_values::<LuaValue>().map_while(Result::ok).map(|item| from_lua(&item)).collect(),
            ),
        },
        _ => Reply::Nil,
    }
}

/// What the functions use of `cjson`: lists and objects of texts and numbers.
fn cjson(lua: &Lua) -> mlua::Result<Table> {
    let cjson = lua.create_table()?;
    cjson.set(
        "decode",
        lua.create_function(|lua, text: mlua::String| {
            let value = serde_json::from_slice(&text.as_bytes()).map_err(mlua::Error::external)?;
            json_to_lua(lua, &value)
        })?,
    )?;
    cjson.set("encode", lua.create_function(|_, value: LuaValue| Ok(lua_to_json(&value)?.to_string()))?)?;
    Ok(cjson)
}

fn json_to_lua(lua: &Lua, value: &serde_json::Value) -> mlua::Result<LuaValue> {
    Ok(match value {
        serde_json::Value::Null => LuaValue::NULL,
        serde_json::Value::Bool(bool) => LuaValue::Boolean(*bool),
        serde_json::Value::Number(number) => LuaValue::Number(number.as_f64().unwrap_or_default()),
        serde_json::Value::String(text) => LuaValue::String(lua.create_string(text)?),
        serde_json::Value::Array(items) => {
            LuaValue::Table(sequence(lua, items.iter().map(|item| json_to_lua(lua, item)))?)
        }
        serde_json::Value::Object(fields) => {
            let table = lua.create_table()?;
            for (key, value) in fields {
                table.set(key.as_str(), json_to_lua(lua, value)?)?;
            }
            LuaValue::Table(table)
        }
    })
}

fn lua_to_json(value: &LuaValue) -> mlua::Result<serde_json::Value> {
    Ok(match value {
        LuaValue::Boolean(bool) => (*bool).into(),
        LuaValue::Integer(number) => (*number).into(),
        #[allow(clippy::cast_possible_truncation, reason = "whole numbers are written as such")]
        LuaValue::Number(number) if number.fract() == 0.0 => (*number as i64).into(),
        LuaValue::Number(number) => (*number).into(),
        LuaValue::String(text) => text.to_str()?.to_owned().into(),
        LuaValue::Table(table) if table.raw_len() > 0 => {
            let items = table.sequence_values::<LuaValue>().map(|item| lua_to_json(&item?));
            serde_json::Value::Array(items.collect::<mlua::Result<_>>()?)
        }
        LuaValue::Table(table) => {
            let mut fields = BTreeMap::new();
            for pair in table.pairs::<String, LuaValue>() {
                let (key, value) = pair?;
                fields.insert(key, lua_to_json(&value)?);
            }
            serde_json::Value::Object(fields.into_iter().collect())
        }
        _ => serde_json::Value::Null,
    })
}
