//! Renders every page with sample data into a folder, to be looked at:
//! `cargo run -p fieldmark-pages --example gallery -- target/gallery`.

use std::error::Error;
use std::path::PathBuf;

mod sample;

use fieldmark_pages as pages;
use fieldmark_pages::Site;

const SITE: Site = Site { isolation_off: false };

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args()
        .nth(1)
        .map(PathBuf::from)
        .ok_or("usage: gallery FOLDER")?;
    std::fs::create_dir_all(&folder)?;
    for (name, html) in all() {
        std::fs::write(folder.join(name), html)?;
    }
    Ok(())
}

fn all() -> Vec<(&'static str, String)> {
    let challenge = |board| pages::challenge(SITE, &sample::challenge_page(&board)).into_string();
    vec![
        ("board.html", challenge(sample::board())),
        ("board-groups.html", challenge(sample::grouped_board())),
        ("board-close.html", challenge(sample::close_board())),
        ("board-open.html", challenge(sample::in_phase("open"))),
        ("board-aborted.html", challenge(sample::in_phase("aborted"))),
        ("board-few.html", challenge(sample::too_few())),
        ("board-pairs.html", challenge(sample::pairs_board())),
        ("board-in-use.html", challenge(sample::in_use_board())),
        ("board-trend.html", with_trend()),
        (
            "board-file.html",
            pages::standalone(&sample::board(), sample::challenge_page(&sample::board()).speeds),
        ),
        (
            "catalogue.html",
            pages::catalogue(SITE, &sample::catalogue()).into_string(),
        ),
        ("model.html", pages::model(SITE, &sample::model()).into_string()),
        ("issue.html", pages::issue(SITE, &sample::issue()).into_string()),
        (
            "challenges.html",
            pages::challenges(SITE, &sample::challenges()).into_string(),
        ),
        (
            "status.html",
            pages::status(SITE, &sample::status()).into_string(),
        ),
        ("server.html", pages::server(&sample::server()).into_string()),
        (
            "isolation-off.html",
            pages::catalogue(Site { isolation_off: true }, &sample::catalogue()).into_string(),
        ),
        (
            "not-found.html",
            pages::not_found(SITE, "digits@9.0.0").into_string(),
        ),
    ]
}

fn with_trend() -> String {
    let (board, trend) = (sample::board(), sample::trend());
    let page = pages::ChallengePage {
        trend: Some(&trend),
        ..sample::challenge_page(&board)
    };
    pages::challenge(SITE, &page).into_string()
}
