//! Which module uses which, and the cycles in that.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Import, SourceFile, imports, paths, source_files, words};

/// From one module to another.
pub type Edge = (String, String);

/// A crate, and which of its modules are examined file by file.
pub struct Crate {
    /// The folder with its sources.
    pub folder: &'static str,
    /// The modules whose parts are modules of their own here; any other top-level module is one with all its parts.
    pub by_file: fn(top: &str) -> bool,
}

impl Crate {
    /// Every edge between two modules, with the path that makes it.
    ///
    /// A declaration (`mod part;`) is no use. A `use` that only passes a name on is none either: whoever uses the name
    /// uses the module that defines it. A private part may use its parent: only the parent can use the part, so the two
    /// are one unit.
    pub fn edges(&self) -> BTreeMap<Edge, String> {
        // The operator's `main.rs` is a crate of its own: nothing can use it.
        let files = source_files(self.folder);
        let has_library = files.iter().any(|file| file.path.ends_with("/lib.rs"));
        let files: Vec<Module> = files
            .into_iter()
            .filter(|file| !(has_library && file.path.ends_with("/main.rs")))
            .map(Module::new)
            .collect();
        let modules: BTreeMap<&[String], &Module> = files.iter().map(|it| (it.file.module.as_slice(), it)).collect();
        let mut edges = BTreeMap::new();
        for module in &files {
            let own = &module.file.module;
            for path in module.used_paths(&modules) {
                let used = resolve(&path, &modules);
                let reason = || format!("{} in {}", path.join("::"), module.file.path);
                if !is_private_part(own, &used, &modules) {
                    edges.entry((self.node(own), self.node(&used))).or_insert_with(reason);
                }
            }
        }
        edges.retain(|(from, to), _| from != to);
        edges
    }

    fn node(&self, module: &[String]) -> String {
        match module {
            [] => "the crate's root".to_owned(),
            [top, ..] if (self.by_file)(top) => module.join("::"),
            [top, ..] => top.clone(),
        }
    }
}

struct Module {
    file: SourceFile,
    imports: Vec<Import>,
    /// The code without its `use` declarations.
    body: String,
}

type Modules<'a> = BTreeMap<&'a [String], &'a Module>;

impl Module {
    fn new(file: SourceFile) -> Self {
        let (imports, body) = imports(&file.code);
        Self { file, imports, body }
    }

    /// From the root of the crate; none for a path that leads out of it.
    fn absolute(&self, path: &[String], modules: &Modules<'_>) -> Option<Vec<String>> {
        let own = &self.file.module;
        let supers = path.iter().take_while(|it| *it == "super").count();
        match path.first().map(String::as_str)? {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([own, &path[1..]].concat()),
            "super" => Some([&own[..own.len().checked_sub(supers)?], &path[supers..]].concat()),
            first => {
                let part = [own.as_slice(), &[first.to_owned()]].concat();
                modules.contains_key(part.as_slice()).then(|| [own.as_slice(), path].concat())
            }
        }
    }

    fn used_paths(&self, modules: &Modules<'_>) -> Vec<Vec<String>> {
        let count = words(&self.body);
        let used = |import: &&Import| !import.is_public || count.contains_key(import.name.as_str());
        let imported = self.imports.iter().filter(used).map(|import| import.path.clone());
        imported.chain(paths(&self.body)).filter_map(|path| self.absolute(&path, modules)).collect()
    }
}

/// Whether a module is a part of another, possibly of a part of it, that only the other can use.
fn is_private_part(part: &[String], whole: &[String], modules: &Modules<'_>) -> bool {
    let declares = |length: usize| {
        let parent = modules.get(&part[..length]);
        parent.is_some_and(|parent| parent.body.contains(&format!("\nmod {};", part[length])))
    };
    part.len() > whole.len() && part.starts_with(whole) && !whole.is_empty() && declares(whole.len())
}

/// The module that an item is defined in, through every module that only passes its name on.
fn resolve(path: &[String], modules: &Modules<'_>) -> Vec<String> {
    let mut path = path.to_vec();
    for _step in 0..8 {
        let length = (0..=path.len()).rev().find(|length| modules.contains_key(&path[..*length])).unwrap_or(0);
        let Some(module) = modules.get(&path[..length]) else { break };
        let Some(name) = path.get(length) else { return path };
        let passed_on = module.imports.iter().find(|import| import.name == *name);
        match passed_on.and_then(|import| module.absolute(&import.path, modules)) {
            Some(origin) if origin != path[..=length] => path = [origin.as_slice(), &path[length + 1..]].concat(),
            _ => return path[..length].to_vec(),
        }
    }
    path
}

/// One cycle for each group of modules that reach each other, the shortest one through its first module.
pub fn cycles<'a>(edges: impl IntoIterator<Item = &'a Edge>) -> Vec<Vec<String>> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in edges {
        next.entry(from).or_default().insert(to);
    }
    let mut found: Vec<Vec<String>> = Vec::new();
    for start in next.keys() {
        let known = found.iter().flatten().any(|module| module == start);
        if let Some(cycle) = shortest_way_back(start, &next).filter(|_| !known) {
            found.push(cycle.into_iter().map(str::to_owned).collect());
        }
    }
    found
}

fn shortest_way_back<'a>(start: &'a str, next: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Option<Vec<&'a str>> {
    let mut ways = vec![vec![start]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for module in next.get(way.last()?).into_iter().flatten() {
                let way = [way.as_slice(), &[*module]].concat();
                if *module == start {
                    return Some(way);
                }
                if seen.insert(*module) {
                    longer.push(way);
                }
            }
        }
        ways = longer;
    }
    None
}
