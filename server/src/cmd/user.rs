//! `portico user`: people, programs and gateways.

use crate::{
    access::{Role, User, UserFile, Users, random_secret},
    cli::{UserAddArgs, UserCommand},
    config::Config,
    out::say,
};
use anyhow::{Context as _, Result, ensure};
use schemas::{Clock as _, SystemClock, Tenant, time::DAY_US};
use std::sync::Arc;

pub fn run(config: &Config, command: UserCommand) -> Result<()> {
    let users = Users::open(&config.state_dir(), Arc::new(SystemClock))?;
    match command {
        UserCommand::Add(args) => add(&users, args),
        UserCommand::List => users.change(|f| Ok(f.clone())).map_err(Into::into).map(|f| list(&f)),
        UserCommand::Remove { name } => Ok(users.change(|f| f.remove(&name))?),
        UserCommand::Reset { name } => {
            let password = random_secret();
            users.change(|f| f.set_password(&name, &password))?;
            say(&format!("new password of {name}: {password}"));
            Ok(())
        }
        UserCommand::Token { name, days } => {
            let now = SystemClock.now().0;
            let secret = users.change(|f| f.issue_token(&name, now, Some(now + i64::from(days) * DAY_US)))?;
            say(&format!("token of {name}, valid for {days} days: {secret}"));
            Ok(())
        }
        UserCommand::Revoke { id } => {
            ensure!(users.change(|f| Ok(f.revoke_token(&id)))?, "there is no token '{id}'; see portico user list");
            Ok(())
        }
    }
}

fn add(users: &Users, args: UserAddArgs) -> Result<()> {
    for t in &args.tenants {
        Tenant::new(t)?;
    }
    ensure!(args.role == Role::Admin || !args.tenants.is_empty(), "--tenants is missing: only an admin may see every tenant");
    let (password, told) = match &args.password_file {
        Some(path) => (std::fs::read_to_string(path).with_context(|| path.display().to_string())?.trim().to_owned(), false),
        None => (random_secret(), true),
    };
    let own_topics = || args.tenants.iter().map(|t| format!("portico/{t}/#")).collect();
    let publish = if args.publish.is_empty() && args.role == Role::Gateway { own_topics() } else { args.publish.clone() };
    let user = User {
        name: args.name.clone(),
        role: args.role,
        password: password.clone(),
        tenants: args.tenants.clone(),
        publish,
        subscribe: args.subscribe,
        simulated: args.simulated,
        disabled: false,
    };
    users.change(|f| f.add(user))?;
    if told {
        say(&format!("password of {}: {password}", args.name));
    }
    Ok(())
}

fn list(file: &UserFile) {
    for u in &file.users {
        let tenants = if u.tenants.is_empty() { "all tenants".to_owned() } else { u.tenants.join(",") };
        say(&format!(
            "{:<20} {:<8} {:<20} {}{}",
            u.name,
            format!("{:?}", u.role).to_lowercase(),
            tenants,
            u.publish.join(","),
            if u.disabled { " disabled" } else { "" }
        ));
    }
    for t in &file.tokens {
        say(&format!("token {} of {}", t.id, t.user));
    }
}
