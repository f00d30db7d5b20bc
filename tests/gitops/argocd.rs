//! The scripts for Argo CD, run by Lua 5.1 with the libraries of scripts in `argocd-cm`: the base library, tables,
//! and an `os` of `time` and `date` that has to be loaded by `require`.

use jiff::Timestamp;
use mlua::{Lua, LuaOptions, LuaSerdeExt as _, SerializeOptions, StdLib, Table};
use serde_json::{Value, json};

use crate::states::{self, Expected};

pub const HEALTH: &str = include_str!("../../deploy/gitops/argocd/health.lua");
pub const DISCOVERY: &str = include_str!("../../deploy/gitops/argocd/actions/discovery.lua");
pub const RENEW: &str = include_str!("../../deploy/gitops/argocd/actions/renew.lua");

const REQUEST: &str = "apicredential.io/renew-requested-at";

/// What a script returns for an object.
fn run(script: &str, object: &Value) -> Value {
    let lua = sandbox().expect("a sandbox");
    // Argo CD leaves out what is null.
    let options = SerializeOptions::new().serialize_none_to_null(false).serialize_unit_to_null(false);
    let object = lua.to_value_with(object, options).unwrap();
    lua.globals().set("obj", object).unwrap();
    let returned: mlua::Value = lua.load(script).eval().unwrap_or_else(|error| panic!("{error}"));
    lua.from_value(returned).unwrap()
}

fn sandbox() -> mlua::Result<Lua> {
    let lua = Lua::new_with(StdLib::TABLE | StdLib::OS | StdLib::PACKAGE, LuaOptions::default())?;
    let (globals, safe) = (lua.globals(), lua.create_table()?);
    let os: Table = globals.get("os")?;
    for name in ["time", "date"] {
        safe.set(name, os.get::<mlua::Function>(name)?)?;
    }
    globals.get::<Table>("package")?.get::<Table>("loaded")?.set("os", safe)?;
    globals.set("os", mlua::Nil)?;
    Ok(lua)
}

fn health(object: &Value) -> (String, String) {
    let health = run(HEALTH, object);
    let text = |name: &str| health[name].as_str().unwrap_or_else(|| panic!("no {name} in {health}")).to_owned();
    (text("status"), text("message"))
}

#[test]
fn a_script_has_only_the_libraries_of_argo_cd() {
    assert_eq!(
        run("return {string == nil, os == nil, io == nil, require('os').getenv == nil, _VERSION}", &json!({})),
        { json!([true, true, true, true, "Lua 5.1"]) }
    );
}

#[test]
fn argo_cd_sees_each_state_as_a_gitops_tool_should() {
    for state in states::all() {
        let expected = match state.expected {
            Expected::Usable => "Healthy",
            Expected::Waiting | Expected::Leaving => "Progressing",
            Expected::Broken => "Degraded",
            Expected::Suspended => "Suspended",
        };
        let (status, message) = health(&state.object);
        assert_eq!(status, expected, "{}: {}", state.name, state.object["status"]);
        assert!(message.ends_with('.'), "{}: {message:?} is not a sentence", state.name);
        if state.expected == Expected::Broken {
            let stalled = condition(&state.object, "Stalled");
            let expected = format!("{}: {}", stalled["reason"].as_str().unwrap(), stalled["message"].as_str().unwrap());
            assert_eq!(message, expected, "{}", state.name);
        }
    }
}

#[test]
fn a_failing_renewal_is_healthy_and_says_why_it_fails() {
    let state = states::all().into_iter().find(|it| it.name == "valid, renewal failed: CredentialsRejected").unwrap();
    let (status, message) = health(&state.object);
    assert_eq!(status, "Healthy");
    assert!(message.starts_with("RenewalFailing: ") && message.contains(" CredentialsRejected: "), "{message}");
}

#[test]
fn an_object_without_a_status_or_with_half_of_one_is_progressing() {
    let mut object = states::all().remove(0).object;
    for status in
        [json!(null), json!({}), json!({"observedGeneration": 3}), json!({"observedGeneration": 3, "conditions": []})]
    {
        object["status"] = status;
        assert_eq!(health(&object).0, "Progressing", "{}", object["status"]);
    }
}

#[test]
fn the_action_asks_for_a_renewal_and_changes_nothing_else() {
    for annotations in [None, Some(json!({"team": "care"})), Some(json!({REQUEST: "2001-01-01T00:00:00Z"}))] {
        let mut object = states::all().into_iter().find(|it| it.name == "valid").unwrap().object;
        if let Some(annotations) = annotations {
            object["metadata"]["annotations"] = annotations;
        }
        let mut renewed = run(RENEW, &object);
        let request = renewed["metadata"]["annotations"][REQUEST].take();
        let request = request.as_str().unwrap();
        // A text that a user would write manually: a time, well within the 128 characters that the operator accepts.
        assert!(request.ends_with('Z') && request.parse::<Timestamp>().is_ok(), "{request}");
        object["metadata"]["annotations"][REQUEST] = Value::Null;
        assert_eq!(renewed, object);
    }
}

#[test]
fn the_action_is_offered_unless_nothing_would_come_of_it() {
    for state in states::all() {
        let actions = run(DISCOVERY, &state.object);
        let idle = state.object["spec"]["suspend"] == true || state.expected == Expected::Leaving;
        assert_eq!(actions["renew"]["disabled"], idle, "{}", state.name);
        assert_eq!(actions.as_object().unwrap().len(), 1, "an action without a definition: {actions}");
    }
}

fn condition<'a>(object: &'a Value, type_: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["type"] == type_).unwrap()
}
