//! What a reader of the pages would notice, and what an author must not be able to do to them.

use std::collections::{BTreeMap, BTreeSet};

use fieldmark_node_core::board::Board;
use fieldmark_pages as pages;
use fieldmark_pages::{Author, Site};
use fieldmark_protocol::PublicKey;

#[path = "../examples/gallery/sample.rs"]
mod sample;

const SITE: Site = Site { isolation_off: false };

const PHASES: [&str; 9] = [
    "open",
    "verifying",
    "committing",
    "revealing",
    "released",
    "aborted",
    "void",
    "disagreement",
    "a-phase-of-tomorrow",
];

const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)>";

fn shown(board: &Board) -> String {
    pages::challenge(SITE, &sample::challenge_page(board)).into_string()
}

fn gallery() -> Vec<String> {
    let mut all: Vec<String> = PHASES
        .iter()
        .map(|phase| shown(&sample::in_phase(phase)))
        .collect();
    all.extend([
        shown(&sample::board()),
        shown(&sample::close_board()),
        shown(&sample::grouped_board()),
        pages::standalone(&sample::board(), &BTreeMap::new()),
        pages::catalogue(SITE, &sample::catalogue()).into_string(),
        pages::model(SITE, &sample::model()).into_string(),
        pages::issue(SITE, &sample::issue()).into_string(),
        pages::challenges(SITE, &sample::challenges()).into_string(),
        pages::status(SITE, &sample::status()).into_string(),
        pages::not_found(SITE, "digits").into_string(),
        pages::server(&sample::server()).into_string(),
    ]);
    all
}

/// The page without the script that renews it, which must be its last element.
fn without_own_script(page: &str) -> String {
    let Some((before, script)) = page.rsplit_once("<script>") else {
        return page.to_owned();
    };
    let end = "</script></body></html>";
    assert!(script.ends_with(end), "the script is not the last element");
    format!("{before}</body></html>")
}

fn assert_inert(page: &str) {
    // The project's own script is the only one, and says nothing that an author wrote.
    let page = &without_own_script(page);
    for active in ["<script", "<img", "<iframe", "javascript:"] {
        assert!(!page.contains(active), "{active} in {page}");
    }
    assert!(
        page.contains("&lt;script&gt;"),
        "the text is not shown at all: {page}"
    );
}

/// Values of an attribute, in order.
fn values<'p>(page: &'p str, attribute: &str) -> Vec<&'p str> {
    let start = format!(" {attribute}=\"");
    page.split(&start)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

#[test]
fn a_hostile_board_is_escaped_everywhere() {
    for phase in PHASES {
        let mut board = if phase == "released" {
            sample::board()
        } else {
            sample::in_phase(phase)
        };
        let rename = |name: &mut String| *name = HOSTILE.to_owned();
        [&mut board.name, &mut board.scenario, &mut board.clean_slice]
            .into_iter()
            .for_each(rename);
        board.notices = vec![HOSTILE.to_owned()];
        board.abort = Some(HOSTILE.to_owned());
        board.committee[0].name = Some(HOSTILE.to_owned());
        board.slices[0] = HOSTILE.to_owned();
        for row in &mut board.models {
            row.name = HOSTILE.to_owned();
            row.worst_slice = Some(HOSTILE.to_owned());
            if let Some(cell) = row.slices.remove("clean") {
                row.slices.insert(HOSTILE.to_owned(), cell);
            }
        }
        let author = Author {
            identity: PublicKey::new([7; 32]),
            name: Some(HOSTILE.to_owned()),
        };
        let page = pages::ChallengePage {
            operator: Some(&author),
            ..sample::challenge_page(&board)
        };
        assert_inert(&pages::challenge(SITE, &page).into_string());
        assert_inert(&pages::standalone(&board, &BTreeMap::new()));
    }
}

#[test]
fn a_hostile_release_is_escaped_and_its_card_is_inert() {
    let mut model = sample::model();
    model.author.name = Some(HOSTILE.into());
    model.card = Some(format!("# hi\n\n{HOSTILE}\n\n[click](javascript:alert(1))"));
    for text in [
        &mut model.release.name,
        &mut model.release.version,
        &mut model.release.license,
        &mut model.release.task,
        &mut model.release.summary,
        &mut model.placements[0].name,
        &mut model.versions[0].version,
    ] {
        *text = HOSTILE.into();
    }
    model.placements[0].phase = HOSTILE.into();
    model.release.tags = vec![HOSTILE.into()];
    model.release.labels = vec![HOSTILE.into()];
    model.issues.reference = HOSTILE.into();
    model.issues.issues[0].title = HOSTILE.into();
    model.issues.issues[0].slice = Some(HOSTILE.into());
    model.issues.hidden[0].author.name = Some(HOSTILE.into());
    assert_inert(&pages::model(SITE, &model).into_string());

    let mut issue = sample::issue();
    (issue.body, issue.reference) = (format!("{HOSTILE}\n\n[x](javascript:alert(1))"), HOSTILE.into());
    issue.issue.title = HOSTILE.into();
    issue.comments[0].body = HOSTILE.into();
    issue.comments[0].author.name = Some(HOSTILE.into());
    assert_inert(&pages::issue(SITE, &issue).into_string());

    let mut catalogue = sample::catalogue();
    (catalogue.text, catalogue.tag) = (HOSTILE.into(), HOSTILE.into());
    catalogue.releases[0].tags = vec![HOSTILE.into()];
    catalogue.releases[0].summary = HOSTILE.into();
    assert_inert(&pages::catalogue(SITE, &catalogue).into_string());
    assert_inert(&pages::not_found(SITE, HOSTILE).into_string());
}

#[test]
fn every_page_is_a_whole_document_without_foreign_scripts_or_inline_styles() {
    for page in gallery() {
        assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"));
        assert_eq!(page.matches("<h1").count(), 1);
        let page = without_own_script(&page);
        assert!(!page.contains("<script") && values(&page, "style").is_empty());
        for tag in [
            "div", "section", "svg", "line", "circle", "rect", "table", "tr", "td", "ul", "dl", "p",
        ] {
            let opened =
                page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }
}

#[test]
fn ids_are_unique_and_every_label_points_at_one() {
    for page in gallery() {
        let ids = values(&page, "id");
        let known: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), known.len(), "{ids:?}");
        for label in values(&page, "aria-labelledby")
            .into_iter()
            .flat_map(str::split_whitespace)
        {
            assert!(known.contains(label), "{label} is nowhere");
        }
    }
}

#[test]
fn only_what_is_under_way_refreshes_itself() {
    for phase in PHASES {
        let page = shown(&sample::in_phase(phase));
        let refreshes = page.contains("<noscript><meta http-equiv=\"refresh\"");
        assert_eq!(
            refreshes,
            page.contains("http-equiv=\"refresh\""),
            "it reloads beside its script"
        );
        assert_eq!(
            refreshes,
            ["open", "verifying", "committing", "revealing"].contains(&phase),
            "{phase}"
        );
    }
}

#[test]
fn an_open_window_shows_the_number_of_reports_and_no_score() {
    let board = sample::in_phase("open");
    let page = pages::ChallengePage {
        reports: Some(3),
        ..sample::challenge_page(&board)
    };
    let html = pages::challenge(SITE, &page).into_string();
    assert!(
        html.contains("3 reports</strong> of at least 5, 12 expected"),
        "{html}"
    );
    assert!(html.contains("digits-vit-tiny") && html.contains("Models entered"));
    assert!(!html.contains("Field scores") && !html.contains("leads on the field"));
}

#[test]
fn scores_are_shown_in_no_phase_but_released() {
    for phase in PHASES.into_iter().filter(|phase| *phase != "released") {
        let mut board = sample::board();
        board.phase = phase;
        assert!(!shown(&board).contains("0.89"), "{phase}");
    }
}

#[test]
fn an_aborted_challenge_says_why() {
    let page = shown(&sample::in_phase("aborted"));
    assert!(page.contains("Nothing was released") && page.contains("camera firmware was recalled"));
}

#[test]
fn what_cannot_be_estimated_says_so() {
    let page = shown(&sample::too_few());
    assert!(page.contains("No score can be estimated"));
    assert!(page.matches("not estimable").count() >= 30);
    assert!(!page.contains("NaN") && !page.contains("inf%"));
}

#[test]
fn the_headline_claims_no_more_than_the_rank_sets() {
    let mut board = sample::board();
    assert!(shown(&board).contains("leads on the field"));
    assert!(shown(&board).contains("Not separable from digits-vit-tiny@0.3.0."));
    board.models[0].rank = [1, 1];
    assert!(shown(&board).contains("Separated from every other model."));
    board.models[0].rank = [1, 4];
    assert!(shown(&board).contains("Not separable from digits-vit-tiny@0.3.0 and 2 more."));
    let close = shown(&sample::close_board());
    assert!(close.contains("Not yet separable") && !close.contains("leads on the field"));
}

#[test]
fn the_field_against_the_lab_is_told_in_words() {
    let page = shown(&sample::board());
    assert!(page.contains("4 of 6 models change their place"));
    assert!(page.contains("digits-linear@0.9.1</strong> loses most, −0.29."));
}

#[test]
fn trust_is_marked_seat_by_seat_and_for_the_whole() {
    let accepted = shown(&sample::board());
    assert_eq!(accepted.matches("✓</span> trusted").count(), 3);
    assert!(!accepted.contains("Not accepted by this reader"));
    let doubted = shown(&sample::close_board());
    assert!(doubted.contains("Not accepted by this reader"));
    assert!(doubted.contains("not trusted") && doubted.contains("silent: share missing"));
}

#[test]
fn the_privacy_statement_names_its_limits() {
    let page = shown(&sample::board());
    for words in [
        "ε = 4",
        "10<sup>−6</sup>",
        "Who took part",
        "one honest aggregator",
        "Correctness needs all 3",
        "protects nobody",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let mut listed = sample::board();
    (listed.eligibility, listed.notices) = ("list", vec![]);
    assert!(!shown(&listed).contains("protects nobody"));
}

#[test]
fn a_withdrawn_model_keeps_its_row() {
    let page = shown(&sample::board());
    assert!(page.contains("digits-linear") && page.contains("withdrawn"));
}

#[test]
fn the_file_of_its_own_loads_nothing_and_links_nowhere() {
    let page = pages::standalone(&sample::board(), &BTreeMap::new());
    assert!(
        values(&page, "href")
            .iter()
            .all(|href| href.starts_with('#') || href.starts_with("data:image/svg"))
    );
    assert!(values(&page, "src").is_empty() && !page.contains("@import") && !page.contains("url("));
    assert!(page.contains("http-equiv=\"Content-Security-Policy\""));
    assert!(page.contains("digits-augmented") && page.contains("0.89"));
}

#[test]
fn a_servers_page_carries_its_policy_links_nowhere_and_claims_no_records() {
    let page = pages::server(&sample::server()).into_string();
    assert!(page.contains("http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';"));
    assert!(
        values(&page, "href")
            .iter()
            .all(|href| href.starts_with('#') || href.starts_with("data:image/svg"))
    );
    assert!(page.contains("measured by this server") && !page.contains("signed records"));
}

#[test]
fn a_board_of_one_model_and_one_slice_renders() {
    let mut board = sample::board();
    board.models.truncate(1);
    board.models[0].rank = [1, 1];
    board.models[0].slices.retain(|slice, _| slice == "clean");
    board.slices = vec!["clean".into()];
    let page = shown(&board);
    assert!(page.contains("scores on the field") && !page.contains("What the field changed"));
}

#[test]
fn every_page_of_a_node_without_isolation_says_so() {
    let site = Site { isolation_off: true };
    let board = sample::board();
    for page in [
        pages::catalogue(site, &sample::catalogue()),
        pages::model(site, &sample::model()),
        pages::issue(site, &sample::issue()),
        pages::challenges(site, &sample::challenges()),
        pages::challenge(site, &sample::challenge_page(&board)),
        pages::status(site, &sample::status()),
        pages::not_found(site, "digits"),
    ] {
        assert!(page.into_string().contains("Isolation is off"));
    }
    let isolated = pages::catalogue(SITE, &sample::catalogue()).into_string();
    assert!(!isolated.contains("Isolation is off"));
}

#[test]
fn tags_become_safe_queries() {
    let mut page = sample::catalogue();
    page.releases[0].tags = vec!["a&b=c d".into()];
    assert!(
        pages::catalogue(SITE, &page)
            .into_string()
            .contains("/?tag=a%26b%3Dc%20d")
    );
}

#[test]
fn the_policy_lets_nothing_load_and_one_script_run() {
    let policy = pages::content_security_policy();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"));
    assert!(policy.contains("; script-src 'sha256-") && policy.contains("; connect-src 'self';"));
    assert!(!policy.contains("unsafe"));
    assert!(!pages::standalone(&sample::board(), &BTreeMap::new()).contains("script-src"));
}

#[test]
fn an_issue_tells_its_state_its_environment_and_who_closed_it() {
    let page = pages::issue(SITE, &sample::issue()).into_string();
    for words in [
        "closed",
        "closed by",
        "libtorch 2.11.0",
        "x86_64",
        "low-light",
        "closed this",
        "Fixed in",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(page.contains("<strong>every</strong>"), "Markdown is rendered");
}

#[test]
fn a_flood_of_issues_is_told_and_not_shown() {
    let page = pages::model(SITE, &sample::model()).into_string();
    assert!(
        page.contains("12 issues more by") && page.contains("collapsed"),
        "{page}"
    );
    assert!(page.contains("1 open, 1 closed"), "{page}");
}

#[test]
fn a_board_names_who_failed_and_hides_cells_of_too_few_records() {
    let page = shown(&sample::pairs_board());
    assert!(page.contains("published two aggregates that differ"));
    assert!(page.contains("Strength in pairs") && page.contains("+1.35"));
    assert!(page.contains("too few records"));
    assert!(page.contains("next window of"));
}

#[test]
fn a_board_of_real_use_has_no_lab_and_counts_the_unlabelled() {
    let page = shown(&sample::in_use_board());
    assert!(!page.contains("Lab to field") && !page.contains(" lab</span>"));
    assert!(page.contains("Counted and never labelled") && page.contains("113"));
}

#[test]
fn a_trend_draws_each_model_and_says_what_is_certain() {
    let (board, trend) = (sample::board(), sample::trend());
    let page = pages::ChallengePage {
        trend: Some(&trend),
        ..sample::challenge_page(&board)
    };
    let page = pages::challenge(SITE, &page).into_string();
    assert_eq!(page.matches("class=\"trend-plot\"").count(), 3);
    assert!(page.contains("▼ fell ") && page.contains("▲ rose "));
    let one = fieldmark_node_core::board::Trend {
        windows: trend.windows[..1].to_vec(),
        ..trend.clone()
    };
    let page = pages::ChallengePage {
        trend: Some(&one),
        ..sample::challenge_page(&board)
    };
    assert!(
        !pages::challenge(SITE, &page)
            .into_string()
            .contains("Trend over windows")
    );
}

#[test]
fn what_nobody_timed_has_dashes() {
    let page = shown(&sample::board());
    assert!(page.contains("0.412 ms") && page.contains("0.018 J"));
    let row = page.split("<table class=\"plain speed\">").nth(1).unwrap();
    assert!(row.contains("<td class=\"number\">–</td>"));
}

#[test]
fn a_board_with_groups_shows_every_model_without_each_and_another_shows_nothing_of_them() {
    let page = shown(&sample::grouped_board());
    for words in [
        "Without one group",
        "Without 3",
        "3 groups of 6, 5 and 5",
        "3 times the variance",
        "Some rank sets are others",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(!shown(&sample::board()).contains("Without one group"));
}
