"""What comes in parts, whole: for tests that read it as a reader does."""

from qualys_verify.evidence import junit, oscal, page, results_csv, run_json


def render_csv(result):
    return b"".join(results_csv.render_csv(result))


def render_junit(result):
    return b"".join(junit.render_junit(result))


def render_oscal(result):
    return b"".join(oscal.render_oscal(result))


def render_run(result):
    return b"".join(run_json.render_run(result))


def render_page(result, transcripts, **options):
    return b"".join(page.render_page(result, transcripts, **options)).decode()
