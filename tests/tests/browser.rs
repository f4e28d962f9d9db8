//! The browser harness itself: what it types and clicks arrives, and what it waits for is what it sees.
//!
//! What this guards: an end-to-end test that passes because its clicks go nowhere.

use anyhow::{Result, ensure};
use fieldmark_tests::{Browser, Programs};

/// A page that greets whoever is named, a moment after the button is pressed or Enter is.
const PAGE: &str = "data:text/html,<meta name=viewport content='width=device-width,initial-scale=1'><form id=f><input id=name>\
    <button id=go>Go</button></form><p id=out>nobody</p><div style='width:500px'>wide</div><script>\
    f.onsubmit = e => { e.preventDefault(); \
    setTimeout(() => { out.textContent = 'hello ' + document.getElementById('name').value }, 200) }</script>";

#[test]
fn clicks_keys_and_sizes_arrive_in_the_browser() -> Result<()> {
    let programs = Programs::beside_this_test()?;
    let Some(mut browser) = Browser::launch(&programs)? else {
        return Ok(());
    };
    let mut page = browser.open(PAGE)?;
    ensure!(page.text("#out")? == "nobody");
    page.type_text("#name", "Ada \"& Bob'")?;
    page.click("#go")?;
    page.wait_for_text("#out", "hello Ada \"& Bob'")?;
    page.type_text("#name", "!")?;
    page.press("Enter")?;
    page.wait_for_text("#out", "hello Ada \"& Bob'!")?;

    page.resize(390, 800)?;
    let narrow = page.overflow()?;
    page.resize(1280, 800)?;
    ensure!(narrow > 0 && page.overflow()? == 0, "{narrow} px too wide");
    page.scheme("dark")?;
    ensure!(page.eval("matchMedia('(prefers-color-scheme: dark)').matches")? == true);
    ensure!(page.attribute("#name", "id")?.as_deref() == Some("name"));
    ensure!(page.text("#nothing-of-the-sort").is_err());

    page.scripts(false)?;
    page.reload()?;
    ensure!(page.text("#out")? == "nobody" && page.count("button")? == 1);
    let picture = tempfile::NamedTempFile::new()?;
    page.screenshot(picture.path())?;
    ensure!(std::fs::read(picture.path())?.starts_with(b"\x89PNG\r\n"));
    Ok(())
}
