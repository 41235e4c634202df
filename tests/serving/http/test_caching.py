"""Pictures are kept by the browser that asked, which asks again before it shows them."""

from pathlib import Path

from support.servers import client, upload


def test_a_picture_is_sent_once_and_asked_for_each_time(tmp_path: Path) -> None:
    with client(tmp_path) as api:
        study = upload(api)["id"]
        for place in (f"/api/v1/studies/{study}/image.png", f"/api/v1/studies/{study}/heatmap.png?size=64"):
            first = api.get(place)
            assert first.headers["cache-control"] == "private, no-cache"
            again = api.get(place, headers={"If-None-Match": first.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
        other = api.get(f"/api/v1/studies/{study}/image.png?size=40")
        assert other.headers["etag"] != api.get(f"/api/v1/studies/{study}/image.png").headers["etag"]
        api.delete(f"/api/v1/studies/{study}")
        assert api.get(place, headers={"If-None-Match": first.headers["etag"]}).status_code == 404


def test_a_class_that_does_not_exist_is_refused_before_anything_is_said_of_it(tmp_path: Path) -> None:
    with client(tmp_path) as api:
        place = f"/api/v1/studies/{upload(api)['id']}/heatmap.png?class=CANARY"
        assert api.get(place).json()["code"] == "no-such-class"
